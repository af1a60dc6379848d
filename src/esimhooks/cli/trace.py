"""`esimhooks trace ANY_ID`: from any id, the chain from what a provider sent to what a receiver answered, as a tree."""

from collections.abc import Iterator
from typing import Annotated

import typer
from msgspec import Struct
from rich.text import Text
from rich.tree import Tree

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import Account, AsJson, InMode, path


class Notification(Struct, rename="camel"):
    """What a provider sent."""

    id: str
    source: str
    kind: str | None
    outcome: str
    detail: str | None
    received_at: str


class Esim(Struct, rename="camel"):
    """An eSIM as it is now."""

    id: str
    esim_status: str | None
    iccid: str | None
    transaction_id: str


class Event(Struct, rename="camel"):
    """An event, and the fields that changed."""

    id: str
    type: str
    esim: str | None
    notification: str | None
    previous_status: str | None
    new_status: str | None
    changed: list[str]
    created_at: str


class Attempt(Struct, rename="camel"):
    """One HTTP exchange."""

    id: str
    number: int
    started_at: str
    duration_ms: int
    outcome: str
    status_code: int | None
    error: str | None


class Delivery(Struct, rename="camel"):
    """A delivery with its attempts."""

    id: str
    event: str
    endpoint: str
    status: str
    next_attempt_at: str | None
    attempts: list[Attempt]


class Chain(Struct, rename="camel"):
    """The answer of the API."""

    id: str
    account: str | None
    mode: str | None
    notifications: list[Notification]
    esims: list[Esim]
    events: list[Event]
    deliveries: list[Delivery]
    truncated: bool


def trace(
    any_id: Annotated[
        str,
        typer.Argument(metavar="ANY_ID", help="Of a notification, eSIM, event, delivery, attempt, order, endpoint."),
    ],
    *,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Show the whole chain around an id: notification, eSIM, events, deliveries, attempts."""
    answer = Client.from_environment(account=account, mode=mode).get(path("trace", any_id))
    if as_json:
        output.raw(answer.body)
        return
    chain = answer.as_(Chain)
    output.screen().print(_tree(chain))
    if chain.truncated:
        output.note("there is more than is shown: trace an id further down, or list events and deliveries")


def _tree(chain: Chain) -> Tree:
    owner = f" of {chain.account} ({chain.mode})" if chain.account else ", which concerns nobody yet"
    tree = Tree(_line(chain.id, f"trace{owner}", traced=chain.id))
    for esim in chain.esims:
        text = f"{esim.esim_status or 'no status'}  iccid {esim.iccid or '-'}  {esim.transaction_id}"
        tree.add(_line(esim.id, text, traced=chain.id))
    causes = {one.id: tree.add(_notification(one, chain.id)) for one in reversed(chain.notifications)}
    for event in reversed(chain.events):
        above = causes.get(event.notification or "", tree)
        below = above.add(_line(event.id, f"{event.created_at}  {event.type}{_change(event)}", traced=chain.id))
        for delivery in _deliveries_of(event, chain):
            _add_delivery(below, delivery, chain.id)
    return tree


def _change(event: Event) -> str:
    status = f"  {event.previous_status or '-'} to {event.new_status}" if event.new_status else ""
    return f"{status}  changed: {', '.join(event.changed)}" if event.changed else status


def _deliveries_of(event: Event, chain: Chain) -> Iterator[Delivery]:
    return (one for one in reversed(chain.deliveries) if one.event == event.id)


def _add_delivery(above: Tree, delivery: Delivery, traced: str) -> None:
    again = f", again at {delivery.next_attempt_at}" if delivery.next_attempt_at else ""
    line = _line(delivery.id, f"to {delivery.endpoint}  {delivery.status}{again}", traced=traced)
    below = above.add(line)
    for one in delivery.attempts:
        code = one.status_code if one.status_code is not None else one.outcome
        text = f"{one.started_at}  attempt {one.number}: {code} in {one.duration_ms} ms  {one.error or ''}"
        below.add(_line(one.id, text, traced=traced))


def _notification(one: Notification, traced: str) -> Text:
    text = f"{one.received_at}  {one.source} {one.kind or ''}: {one.outcome}  {one.detail or ''}"
    return _line(one.id, text, traced=traced)


def _line(row_id: str, text: str, *, traced: str) -> Text:
    """Return a line that cannot do harm, the id that was asked for in bold."""
    return Text(output.printable(row_id), style="bold" if row_id == traced else "").append(
        f"  {output.printable(text.rstrip())}", style="not bold"
    )
