"""Whatever a handler lets out is a failed attempt with a reason that can be stored; the receiver works on."""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esimhooks import Event, Receiver, Retrying
from patience import patience_s
from receiver_side.posting import SECRET, Seen, a_body, post, until

TWICE = Retrying(schedule_s=(0,), transactional_limit_s=10)
IMPATIENT = Retrying(schedule_s=(0,), handler_limit_s=0.2, transactional_limit_s=0.2)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Homemade(BaseException):
    pass


RAISED: dict[str, tuple[Callable[[], BaseException], str]] = {
    "CancelledError": (asyncio.CancelledError, "CancelledError: "),
    "SystemExit": (lambda: SystemExit(3), "SystemExit: 3"),
    "GeneratorExit": (GeneratorExit, "GeneratorExit: "),
    "KeyboardInterrupt": (KeyboardInterrupt, "KeyboardInterrupt: "),
    "BaseException": (lambda: Homemade("of my own"), "Homemade: of my own"),
    "no text": (Unprintable, "Unprintable: its text cannot be made (RuntimeError)"),
    "lone surrogate and NUL": (lambda: ValueError("\ud800 and \0"), r"ValueError: \ud800 and \x00"),
}
SORTS = ["plain", "async", "transactional", "async transactional"]


def register(receiver: Receiver, sort: str, call: Callable[[Event], object]) -> None:
    """Register a handler of a sort that calls a function."""

    async def later(event: Event, *_: Any) -> None:
        call(event)

    def now(event: Event, *_: Any) -> None:
        call(event)

    add = receiver.transactional if "transactional" in sort else receiver.on
    add("*", name="welcome")(later if "async" in sort else now)


def errors(receiver: Receiver) -> dict[str, str]:
    return {letter.event.id: letter.error for letter in receiver.inbox.dead_letters()}


class FullDisk(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("no space left on device")


@pytest.mark.timeout(20)
def test_a_log_that_cannot_be_written_costs_no_outcome_and_no_answer(inbox: str) -> None:
    calls, full = list[str](), FullDisk()

    with Receiver(SECRET, inbox=inbox, retrying=TWICE) as receiver:

        @receiver.on("*", name="welcome")
        def welcome(event: Event) -> None:
            calls.append(event.id)
            raise OSError("the mail server is down")

        logging.getLogger("esimhooks.receiver").addHandler(full)
        try:
            assert post(receiver, b"no json") == 400
            assert post(receiver, a_body()) == 200
            until(lambda: receiver.stats().dead == 1)
        finally:
            logging.getLogger("esimhooks.receiver").removeHandler(full)
    assert calls == ["evt_1"] * 2


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.timeout(20)
def test_whatever_is_raised_is_a_dead_letter_in_the_end_and_the_next_event_is_handled(
    kind: str, sort: str, inbox: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, text = RAISED[kind]
    seen, calls = Seen(), list[str]()

    def welcome(event: Event) -> None:
        calls.append(event.id)
        if event.id == "evt_bad":
            raise make()
        seen.add(event)

    with caplog.at_level(logging.WARNING), Receiver(SECRET, inbox=inbox, retrying=TWICE) as receiver:
        register(receiver, sort, welcome)

        assert post(receiver, a_body("evt_bad")) == 200
        until(lambda: receiver.stats().dead == 1)
        assert post(receiver, a_body("evt_good")) == 200
        assert seen.wait_for(1) == ["evt_good"]

        (letter,) = receiver.inbox.dead_letters()
    assert (letter.attempts, letter.error) == (2, text)
    assert calls.count("evt_bad") == 2
    assert caplog.text.count("failed for evt_bad") == 2
    assert caplog.text.count("Traceback (most recent call last)") >= 2


@pytest.mark.parametrize("sort", ["plain", "transactional"])
@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt])
@pytest.mark.timeout(20)
def test_what_a_task_of_a_handler_raises_is_a_failed_attempt_too(
    leave: type[BaseException], sort: str, inbox: str
) -> None:
    seen = Seen()

    async def part() -> None:
        raise leave(3)

    async def welcome(event: Event, *_: Any) -> None:
        if event.id == "evt_bad":
            await asyncio.gather(part(), asyncio.sleep(0))
        seen.add(event)

    with Receiver(SECRET, inbox=inbox, retrying=TWICE) as receiver:
        (receiver.transactional if sort == "transactional" else receiver.on)("*", name="welcome")(welcome)

        assert post(receiver, a_body("evt_bad")) == 200
        until(lambda: receiver.stats().dead == 1)
        assert post(receiver, a_body("evt_good")) == 200
        assert seen.wait_for(1) == ["evt_good"]

        (letter,) = receiver.inbox.dead_letters()
    assert letter.attempts == 2
    assert letter.error.startswith(f"RuntimeError: {leave.__name__}: 3, in a task")


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.timeout(20)
def test_a_handler_that_hangs_is_given_up_and_holds_up_nothing(sort: str, inbox: str) -> None:
    seen, free = Seen(), threading.Event()

    def hang(event: Event) -> None:
        if event.id == "evt_bad":
            free.wait(patience_s())
        seen.add(event)

    async def hang_async(event: Event, *_: Any) -> None:
        if event.id == "evt_bad":
            await asyncio.Event().wait()
        seen.add(event)

    receiver = Receiver(SECRET, inbox=inbox, retrying=IMPATIENT, concurrency=1)
    if "async" in sort:
        (receiver.transactional if "transactional" in sort else receiver.on)("*", name="welcome")(hang_async)
    else:
        register(receiver, sort, hang)
    with receiver:
        assert post(receiver, a_body("evt_bad")) == 200
        assert post(receiver, a_body("evt_good")) == 200
        # On a busy machine the good one may exceed the limit, too.
        assert set(seen.wait_for(1)) == {"evt_good"}

        until(lambda: "evt_bad" in errors(receiver))
        error = errors(receiver)["evt_bad"]
        free.set()
        until(lambda: receiver._threads.hanging("welcome") == 0)  # its success is recorded, which needs the inbox
    assert error.startswith("TimeoutError")


@pytest.mark.timeout(20)
def test_what_a_hanging_transaction_did_is_undone_and_nothing_it_does_later_is_kept(inbox: str) -> None:
    free, after = threading.Event(), list[str]()
    receiver = Receiver(SECRET, inbox=inbox, retrying=Retrying(schedule_s=(), transactional_limit_s=0.2))
    with receiver.inbox._database.writing() as session:
        session.run("CREATE TABLE welcomed (id text)")

    @receiver.transactional("*", name="welcome")
    def welcome(event: Event, connection: Any) -> None:
        connection.execute("INSERT INTO welcomed VALUES ('before')")
        free.wait(patience_s())
        try:
            connection.execute("INSERT INTO welcomed VALUES ('before')")
        except Exception as error:
            after.append(type(error).__name__)
            raise
        after.append("worked")

    began = time.monotonic()
    assert post(receiver, a_body()) == 200
    assert time.monotonic() - began < 5
    free.set()
    until(lambda: bool(after))

    assert after != ["worked"]
    with receiver.inbox._database.reading() as session:
        assert session.rows("SELECT * FROM welcomed") == []
    assert receiver.stats().dead == 1
    receiver.close()


@pytest.mark.timeout(20)
def test_a_transactional_handler_that_breaks_its_connection_costs_an_attempt_and_not_the_event(inbox: str) -> None:
    receiver = Receiver(SECRET, inbox=inbox, retrying=TWICE)

    @receiver.transactional("*", name="welcome")
    def welcome(event: Event, connection: Any) -> None:
        connection.close()

    assert post(receiver, a_body()) == 200
    until(lambda: receiver.stats().dead == 1)
    receiver.close()


@pytest.mark.timeout(20)
def test_a_success_that_cannot_be_written_is_written_later_and_the_handler_not_called_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, seen, locked = tmp_path / "inbox.db", Seen(), threading.Event()
    retrying = Retrying(lease_s=0.6)
    with Receiver(SECRET, inbox=f"sqlite:///{path}", retrying=retrying) as receiver:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

        @receiver.on("*", name="welcome")
        def welcome(event: Event) -> None:
            other.execute("BEGIN IMMEDIATE")
            locked.set()
            seen.add(event)

        post(receiver, a_body())
        assert locked.wait(patience_s())
        until(lambda: "cannot be written yet" in caplog.text)  # by then the lease has ended, too
        other.execute("ROLLBACK")
        until(lambda: receiver.stats().done == 1)

        assert seen.ids == ["evt_1"]
        other.close()
