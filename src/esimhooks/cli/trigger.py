"""`esimhooks trigger EVENT`: raise a test event, wait for its deliveries and show them with their attempts."""

import time
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Answer, Client
from esimhooks.cli.messages import Failed
from esimhooks.cli.options import Account, AsReport, duration, esim_fields, known, path
from esimhooks.cli.resources import ATTEMPT_COLUMNS
from esimhooks.cli.verbs import Verb, show_answer
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode

POLL_S = 0.2
DELIVERED, PENDING = "delivered", "pending"
DELIVERY = Verb("show", "GET /v1/deliveries/{id}", "", title="delivery", rows="attempts", columns=ATTEMPT_COLUMNS)


class Progress(Struct, rename="camel"):
    """How far one delivery is."""

    id: str
    status: str
    attempt_count: int
    next_attempt_at: str | None

    @property
    def tried(self) -> bool:
        """Whether there is something to show."""
        return self.status != PENDING or self.attempt_count > 0


class _Raised(Struct):
    id: str


class _Deliveries(Struct):
    data: list[Progress]


def trigger(
    event: Annotated[
        str,
        typer.Argument(
            metavar="EVENT", help="The event type, such as esim.activated.", autocompletion=lambda: list(EventType)
        ),
    ],
    *,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the eSIM; repeatable.")
    ] = None,
    esim: Annotated[
        str | None, typer.Option("--esim", metavar="ID", help="One of your test eSIMs, instead of a new one.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait, such as 30s.")] = "30s",
    account: Account = None,
    as_json: AsReport = False,
) -> None:
    """Raise a test event and show its delivery.

    It is an event of a new test eSIM, or of --esim. Needs a test key, or an operator's key with --account. Exits with 1 if
    it did not arrive.
    """
    timeout_s, data = duration(timeout), esim_fields(change or [])
    known(event, list(EventType), "event")
    client = Client.from_environment(account=account, mode=None if account is None else Mode.TEST)
    body = {"event": event, "data": data} | ({} if esim is None else {"esim": esim})
    raised = client.post(path("test-events"), body)
    event_id = raised.as_(_Raised).id
    with output.screen(stderr=True).status("waiting for its delivery"):
        progress = _wait(client, event_id, timeout_s)
    deliveries = [client.get(path("deliveries", one.id)) for one in progress]
    _show(raised, deliveries, as_json=as_json)
    if not progress:
        raise Failed(
            f"{event_id} was raised, but no endpoint is subscribed to {event}: only `esimhooks listen` shows it; "
            "see `esimhooks endpoints`"
        )
    if any(one.status != DELIVERED for one in progress):
        raise Failed("\n".join(_fault(one, timeout_s) for one in progress if one.status != DELIVERED))


def _wait(client: Client, event_id: str, timeout_s: float) -> list[Progress]:
    """Return the event's deliveries once each was tried, or after `timeout_s` seconds."""
    end = time.monotonic() + timeout_s
    while True:
        progress = client.get(path("deliveries"), event=event_id, limit=100).as_(_Deliveries).data
        if all(one.tried for one in progress) or time.monotonic() >= end:
            return progress
        time.sleep(POLL_S)


def _show(raised: Answer, deliveries: list[Answer], *, as_json: bool) -> None:
    if as_json:
        output.json({"event": msgspec.Raw(raised.body), "deliveries": [msgspec.Raw(one.body) for one in deliveries]})
        return
    for one in deliveries:
        show_answer(DELIVERY, "", one, as_json=False)


def _fault(progress: Progress, timeout_s: float) -> str:
    if progress.status != PENDING:
        return f"{progress.id} did not arrive: it is {progress.status}"
    if progress.attempt_count == 0:
        return f"{progress.id} was not attempted within {timeout_s:g} s: is a server in the role dispatcher running?"
    return f"{progress.id} did not arrive at the first attempt; the next is at {progress.next_attempt_at}"
