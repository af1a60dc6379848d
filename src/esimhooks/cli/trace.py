"""`esimhooks trace ANY_ID`: from any id, the chain from what a provider sent to what a receiver answered, as a tree."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.columns import Row, shortened
from esimhooks.cli.options import Account, AsJson, InMode, path

Short = Callable[[str], str]
"""Shortens a time or an id of something else, as lists do."""


def trace(
    any_id: Annotated[
        str,
        typer.Argument(
            metavar="ANY_ID", help="Id of a notification, eSIM, event, delivery, attempt, order or endpoint."
        ),
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
    chain = answer.as_(dict[str, Any])
    console = output.screen()
    now = datetime.now(UTC) if console.is_terminal else None
    console.print(_tree(chain, lambda text: shortened(text, now)))
    if chain["truncated"]:
        output.note("there is more than is shown: trace an id further down, or list events and deliveries")


def _tree(chain: Row, short: Short) -> Tree:
    traced = chain["id"]
    owner = f" of {chain['account']} ({chain['mode']})" if chain["account"] else ", which concerns nobody yet"
    tree = Tree(_line(traced, f"trace{owner}", traced))
    for esim in chain["esims"]:
        status, iccid = esim["esimStatus"] or "no status", esim["iccid"] or "no ICCID"
        tree.add(_line(esim["id"], f"{status}  {iccid}  {esim['transactionId']}", traced))
    causes = {one["id"]: tree.add(_notification(one, traced, short)) for one in reversed(chain["notifications"])}
    for event in reversed(chain["events"]):
        text = f"{short(event['createdAt'])}  {event['type']}{_change(event)}"
        below = causes.get(event["notification"], tree).add(_line(event["id"], text, traced))
        for delivery in reversed(chain["deliveries"]):
            if delivery["event"] == event["id"]:
                _add_delivery(below, delivery, traced, short)
    return tree


def _change(event: Row) -> str:
    status = f"  {event['previousStatus'] or '-'} to {event['newStatus']}" if event["newStatus"] else ""
    return f"{status}  changed: {', '.join(event['changed'])}" if event["changed"] else status


def _add_delivery(above: Tree, delivery: Row, traced: str, short: Short) -> None:
    again = f", next attempt {short(delivery['nextAttemptAt'])}" if delivery["nextAttemptAt"] else ""
    below = above.add(_line(delivery["id"], f"to {short(delivery['endpoint'])}  {delivery['status']}{again}", traced))
    for one in delivery["attempts"]:
        code = one["outcome"] if one["statusCode"] is None else one["statusCode"]
        text = f"{short(one['startedAt'])}  attempt {one['number']}: {code} in {one['durationMs']} ms  {one['error'] or ''}"
        below.add(_line(one["id"], text, traced))


def _notification(one: Row, traced: str, short: Short) -> Text:
    text = f"{short(one['receivedAt'])}  {one['source']} {one['kind'] or ''}: {one['outcome']}  {one['detail'] or ''}"
    return _line(one["id"], text, traced)


def _line(row_id: str, text: str, traced: str) -> Text:
    """Return a line that cannot do harm, the id that is traced in bold."""
    return Text(output.printable(row_id), style="bold" if row_id == traced else "").append(
        f"  {output.printable(text.rstrip())}", style="not bold"
    )
