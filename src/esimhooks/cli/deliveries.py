"""`esimhooks deliveries`: which event went to which endpoint, every attempt of it, and sending it again."""

from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Answer, Client
from esimhooks.cli.options import Account, AsJson, Cursor, From, InMode, Limit, To
from esimhooks.cli.values import path

app = typer.Typer(help="Deliveries and their attempts.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]


class Row(Struct, rename="camel"):
    """A line of the list."""

    id: str
    event_type: str
    status: str
    attempt_count: int
    endpoint: str
    event: str
    next_attempt_at: str | None
    created_at: str


class Attempt(Struct, rename="camel"):
    """One HTTP exchange."""

    number: int
    started_at: str
    duration_ms: int
    outcome: str
    status_code: int | None
    error: str | None


@app.command("list")
def list_deliveries(  # noqa: PLR0913 - each is an option
    *,
    endpoint: Annotated[str | None, typer.Option("--endpoint", metavar="ID", help="Only those to it.")] = None,
    event: Annotated[str | None, typer.Option("--event", metavar="ID", help="Only those of it.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", metavar="T", help="As esim.activated.")] = None,
    esim: Annotated[str | None, typer.Option("--esim", metavar="ID", help="Only those of this eSIM.")] = None,
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATUS", help="pending, delivered, failed, stopped or cancelled."),
    ] = None,
    start: From = None,
    end: To = None,
    limit: Limit = 25,
    cursor: Cursor = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first."""
    about = {"endpoint": endpoint, "event": event, "type": event_type, "esim": esim, "status": status}
    when = {"from": start, "to": end}
    answer = Client.from_environment(account=account, mode=mode).get(
        path("deliveries"), **about, **when, limit=limit, cursor=cursor
    )
    output.show_page(answer, Row, as_json=as_json)


@app.command("show")
def show_delivery(delivery: Id, *, account: Account = None, mode: InMode = None, as_json: AsJson = False) -> None:
    """Show a delivery and all of its attempts."""
    show(Client.from_environment(account=account, mode=mode).get(path("deliveries", delivery)), as_json=as_json)


@app.command("retry")
def retry_delivery(delivery: Id, *, account: Account = None, mode: InMode = None) -> None:
    """Send a delivery again that is not pending; its schedule starts anew."""
    Client.from_environment(account=account, mode=mode).post(path("deliveries", delivery, "retry"))
    output.say(f"{delivery} is sent again")


@app.command("cancel")
def cancel_delivery(delivery: Id, *, account: Account = None, mode: InMode = None) -> None:
    """Give a pending delivery up; it can be sent again later."""
    Client.from_environment(account=account, mode=mode).post(path("deliveries", delivery, "cancel"))
    output.say(f"{delivery} is cancelled")


def show(answer: Answer, *, as_json: bool = False) -> None:
    """Print one delivery with its attempts."""
    output.show_with_rows(answer, "delivery", rows="attempts", row=Attempt, as_json=as_json)
