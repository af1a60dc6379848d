"""`esimhooks notifications`: the journal of what providers sent. Needs an operator's key."""

from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import AsJson, Cursor, From, Iccid, Limit, OrderNo, To, TransactionId
from esimhooks.cli.values import path

app = typer.Typer(help="What providers sent.", no_args_is_help=True)


class Row(Struct, rename="camel"):
    """A line of the list."""

    id: str
    source: str
    kind: str | None
    outcome: str
    esim: str | None
    detail: str | None
    received_at: str


@app.command("list")
def list_notifications(  # noqa: PLR0913 - each is an option
    *,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="A provider, or updates.")] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", metavar="OUTCOME", help="As applied.")] = None,
    esim: Annotated[str | None, typer.Option("--esim", metavar="ID", help="Only those about this eSIM.")] = None,
    iccid: Iccid = None,
    transaction_id: TransactionId = None,
    order_no: OrderNo = None,
    start: From = None,
    end: To = None,
    limit: Limit = 25,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List notifications of all providers, newest first."""
    where = {"source": source, "outcome": outcome, "esim": esim, "from": start, "to": end}
    numbers = {"iccid": iccid, "transactionId": transaction_id, "orderNo": order_no}
    answer = Client.from_environment().get(path("notifications"), **where, **numbers, limit=limit, cursor=cursor)
    output.show_page(answer, Row, as_json=as_json)


@app.command("show")
def show_notification(notification: Annotated[str, typer.Argument(metavar="ID")], *, as_json: AsJson = False) -> None:
    """Show a notification as it came."""
    answer = Client.from_environment().get(path("notifications", notification))
    output.show_one(answer, notification, as_json=as_json)
