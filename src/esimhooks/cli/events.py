"""`esimhooks events`: what merchants were told, as the bodies that webhooks carry."""

from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import Account, AsJson, Cursor, From, InMode, Limit, To
from esimhooks.cli.values import path

app = typer.Typer(help="Events of an account.", no_args_is_help=True)


class Subject(Struct):
    """Which eSIM an event is about."""

    id: str

    def __str__(self) -> str:
        return self.id


class Row(Struct, rename="camel"):
    """A line of the list."""

    id: str
    event: str
    timestamp: str
    data: Subject
    sequence: int
    previous_status: str | None = None
    new_status: str | None = None
    thresholds: list[int] | None = None
    reason: str | None = None


@app.command("list")
def list_events(  # noqa: PLR0913 - each is an option
    *,
    event_type: Annotated[str | None, typer.Option("--type", metavar="T", help="As esim.activated.")] = None,
    esim: Annotated[str | None, typer.Option("--esim", metavar="ID", help="Only those of this eSIM.")] = None,
    start: From = None,
    end: To = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="EVT", help="Those after this event, oldest first.")
    ] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """List events, newest first."""
    query = {"type": event_type, "esim": esim, "from": start, "to": end, "after": after}
    answer = Client.from_environment(account=account, mode=mode).get(
        path("events"), **query, limit=limit, cursor=cursor
    )
    output.show_page(answer, Row, as_json=as_json)


@app.command("show")
def show_event(
    event: Annotated[str, typer.Argument(metavar="ID")],
    *,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Show an event."""
    answer = Client.from_environment(account=account, mode=mode).get(path("events", event))
    output.show_one(answer, event, as_json=as_json)


@app.command("resend")
def resend_event(
    event: Annotated[str, typer.Argument(metavar="ID")],
    *,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="ID", help="Only there, even if it is not subscribed.")
    ] = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Send an event again, to all enabled endpoints that want it or to one."""
    body = {} if endpoint is None else {"endpoint": endpoint}
    answer = Client.from_environment(account=account, mode=mode).post(path("events", event, "resend"), body)
    output.show_one(answer, "sent again", as_json=as_json)
