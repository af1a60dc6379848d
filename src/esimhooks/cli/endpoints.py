"""`esimhooks endpoints`: the URLs that webhooks go to. A new endpoint's secret is printed this once."""

from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import Account, AsJson, Cursor, InMode, Limit
from esimhooks.cli.values import path, schedule

app = typer.Typer(help="URLs that webhooks go to.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]


class Row(Struct, rename="camel"):
    """A line of the list."""

    id: str
    mode: str
    url: str
    event_types: list[str] | None
    enabled: bool
    disabled_reason: str | None
    created_at: str


@app.command("list")
def list_endpoints(
    *,
    limit: Limit = 25,
    cursor: Cursor = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """List endpoints, newest first."""
    answer = Client.from_environment(account=account, mode=mode).get(path("endpoints"), limit=limit, cursor=cursor)
    output.show_page(answer, Row, as_json=as_json)


@app.command("show")
def show_endpoint(endpoint: Id, *, account: Account = None, mode: InMode = None, as_json: AsJson = False) -> None:
    """Show an endpoint."""
    answer = Client.from_environment(account=account, mode=mode).get(path("endpoints", endpoint))
    output.show_one(answer, endpoint, as_json=as_json)


@app.command("create")
def create_endpoint(  # noqa: PLR0913 - each is an option
    *,
    url: Annotated[str, typer.Option("--url", help="Where webhooks go.")],
    name: Annotated[str | None, typer.Option("--name", help="What it is called.")] = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--event-type", metavar="T", help="What it gets, by default all; repeatable.")
    ] = None,
    retry_schedule: Annotated[
        str | None,
        typer.Option("--retry-schedule", metavar="0,60,300", help="Seconds before each attempt, or a schedule's name."),
    ] = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Make an endpoint; its secret is printed this once."""
    told = {
        "url": url,
        "name": name,
        "eventTypes": event_type or None,
        "retrySchedule": None if retry_schedule is None else schedule(retry_schedule),
    }
    body = {field: value for field, value in told.items() if value is not None}
    answer = Client.from_environment(account=account, mode=mode).post(path("endpoints"), body)
    output.show_one(answer, "new endpoint, its secret shown this once", as_json=as_json)


@app.command("secret")
def show_secret(endpoint: Id, *, account: Account = None, mode: InMode = None, as_json: AsJson = False) -> None:
    """Show an endpoint's secret, and the old ones that still sign."""
    answer = Client.from_environment(account=account, mode=mode).get(path("endpoints", endpoint, "secret"))
    output.show_one(answer, f"secret of {endpoint}", as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(
    endpoint: Id,
    *,
    expire_old_in: Annotated[
        int | None,
        typer.Option("--expire-old-in", metavar="S", min=0, help="Seconds the old one still signs; 0 after a leak."),
    ] = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Replace an endpoint's secret; the old one signs for a day more unless told otherwise."""
    body = {} if expire_old_in is None else {"expireOldIn": expire_old_in}
    client = Client.from_environment(account=account, mode=mode)
    answer = client.post(path("endpoints", endpoint, "rotate-secret"), body)
    output.show_one(answer, f"new secret of {endpoint}", as_json=as_json)


@app.command("delete")
def delete_endpoint(endpoint: Id, *, account: Account = None, mode: InMode = None) -> None:
    """Delete an endpoint; what it did not get yet is cancelled."""
    Client.from_environment(account=account, mode=mode).delete(path("endpoints", endpoint))
    output.say(f"{endpoint} is deleted")
