"""The cases that the TypeScript package passes too: tests/receiver_cases, whose README says what their words mean."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from esimhooks import Event, Receiver, Retrying, Webhook
from esimhooks.signing import new_secret
from patience import patience_s
from receiver_side.posting import until as wait_until

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "receiver_cases" / "cases.json").read_text())
SECRET, OTHER = new_secret(), new_secret()
HUNG_S = 20.0


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("unreadable")


THROWN: dict[str, Callable[[], BaseException]] = {
    "error": lambda: RuntimeError("the mail server is down"),
    "empty": RuntimeError,
    "cancelled": asyncio.CancelledError,
    "exit": lambda: SystemExit(3),
    "nothing": BaseException,
    "unreadable": Unreadable,
    "unstorable": lambda: RuntimeError("a \0 and a \ud800"),
}


class Running:
    """A receiver as a case wants it, its clock, and what its handlers were called with."""

    def __init__(self, inbox: str, case: dict[str, Any]) -> None:
        self.calls: dict[str, list[str]] = {one["name"]: [] for one in case["handlers"]}
        self.now = time.time()
        self.over = threading.Event()
        wanted: dict[str, Any] = {"schedule": [], **case.get("retrying", {})}
        self._retrying = Retrying(**{f"{name}_s": value for name, value in wanted.items()})
        self._inbox = inbox
        self._handlers = case["handlers"]

    def start(self) -> None:
        self.receiver = Receiver(SECRET, inbox=self._inbox, retrying=self._retrying, clock=lambda: self.now)
        for handler in self._handlers:
            self._register(**handler)
        self.receiver.start()

    def close(self) -> None:
        self.over.set()
        for name in self.calls:  # what was given up and returns records its success, which needs the inbox
            wait_until(lambda name=name: self.receiver._threads.hanging(name) == 0)  # type: ignore[misc]
        self.receiver.close()

    def _register(self, name: str, *, kind: str = "plain", does: list[str] | None = None, **options: Any) -> None:
        events = options.pop("events", ["*"])
        steps = does or ["returns"]
        hung: dict[str, Callable[[], Any]] = {"async": lambda: asyncio.get_running_loop().create_future()}

        def act(event: Event) -> Any:
            calls = self.calls[name]
            calls.append(event.id)
            deed = steps[min(len(calls), len(steps)) - 1]
            if deed == "hangs":
                return hung.get(kind, self._hang)()
            if deed != "returns":
                error = THROWN[deed]()
                raise error
            return None

        async def act_later(event: Event) -> None:
            if (waiting := act(event)) is not None:
                await waiting

        def effect(event: Event, connection: Any) -> None:
            connection.execute(f"INSERT INTO effects VALUES ('{event.id}')")
            act(event)

        if kind == "transactional":
            self.receiver.transactional(*events, name=name, **options)(effect)
        else:
            self.receiver.on(*events, name=name, **options)(act_later if kind == "async" else act)

    def _hang(self) -> None:
        self.over.wait(HUNG_S)

    def send(self, wanted: dict[str, Any], *, forged: bool) -> int:
        event = {"event": "esim.activated", "mode": "test", "data": {"id": wanted.get("esim", "esim_1")}}
        body = str(wanted.get("body") or json.dumps(event | wanted)).encode()
        headers = Webhook(OTHER if forged else SECRET, clock=lambda: self.now).sign(body, message_id="msg_1")
        return self.receiver.take(body, headers).status

    def effects(self) -> list[str]:
        with self.receiver.inbox._database.reading() as session:
            return [row[0] for row in session.rows("SELECT id FROM effects ORDER BY id")]

    def make_effects(self) -> None:
        with self.receiver.inbox._database.writing() as session:
            session.run("CREATE TABLE effects (id text)")


@pytest.fixture
def running(inbox: str, request: pytest.FixtureRequest) -> Iterator[Running]:
    made = Running(inbox, request.getfixturevalue("case"))
    made.start()
    made.make_effects()
    yield made
    made.close()


def until(running: Running, counts: dict[str, int], also: dict[str, Any]) -> None:
    called = {name: len(ids) for name, ids in also.get("calls", {}).items()}
    waiting = threading.Event()
    for _ in range(int(patience_s() * 50)):
        stats = running.receiver.stats()
        fits = all(getattr(stats, name) == count for name, count in counts.items())
        if fits and all(len(running.calls[name]) == count for name, count in called.items()):
            return
        waiting.wait(0.02)
    pytest.fail(f"{counts} did not come true: {running.receiver.stats()}, {running.calls}")


def take(running: Running, step: dict[str, Any]) -> None:
    inbox = running.receiver.inbox
    match step:
        case {"send": wanted, "answers": status}:
            assert running.send(wanted, forged=step.get("forged", False)) == status
        case {"until": counts}:
            until(running, counts, step.get("and", {}))
        case {"calls": calls}:
            assert {name: running.calls[name] for name in calls} == calls
        case {"effects": ids}:
            assert running.effects() == ids
        case {"dead": letters}:
            found = [(one.event.id, one.handler, one.attempts) for one in inbox.dead_letters()]
            assert found == [(one["id"], one["handler"], one["attempts"]) for one in letters]
            assert all(one["error"] in died.error for one, died in zip(letters, inbox.dead_letters(), strict=True))
        case {"later": seconds}:
            running.now += seconds
        case {"restart": _}:
            running.receiver.close()
            running.start()
        case _:
            [(name, count)] = step.items()  # retry, discard, prune
            assert getattr(inbox, name)() == count


@pytest.mark.slow(reason="some cases wait for a worker's next look at its inbox")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_receiver_does_as_the_case_says(running: Running, case: dict[str, Any]) -> None:
    for step in case["steps"]:
        take(running, step)
