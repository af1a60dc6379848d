"""`esimhooks accounts`: the merchants of an installation. Needs an operator's key."""

from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import AsJson, Cursor, Limit
from esimhooks.cli.values import path

app = typer.Typer(help="Merchants' accounts.", no_args_is_help=True)


class Row(Struct, rename="camel"):
    """A line of the list."""

    id: str
    name: str
    created_at: str


@app.command("list")
def list_accounts(*, limit: Limit = 25, cursor: Cursor = None, as_json: AsJson = False) -> None:
    """List accounts, newest first."""
    answer = Client.from_environment().get(path("accounts"), limit=limit, cursor=cursor)
    output.show_page(answer, Row, as_json=as_json)


@app.command("show")
def show_account(account: Annotated[str, typer.Argument(metavar="ID")], *, as_json: AsJson = False) -> None:
    """Show an account."""
    output.show_one(Client.from_environment().get(path("accounts", account)), account, as_json=as_json)


@app.command("create")
def create_account(
    *, name: Annotated[str, typer.Option("--name", help="What it is called.")], as_json: AsJson = False
) -> None:
    """Make an account."""
    answer = Client.from_environment().post(path("accounts"), {"name": name})
    output.show_one(answer, "new account", as_json=as_json)


@app.command("delete")
def delete_account(
    account: Annotated[str, typer.Argument(metavar="ID")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete an account with its keys, endpoints, orders and eSIMs; what waits for delivery is cancelled."""
    client = Client.from_environment()
    name = client.get(path("accounts", account)).as_(Row).name
    if not yes:
        typer.confirm(f"Delete {output.printable(name)} ({account}) for good?", abort=True, err=True)
    client.delete(path("accounts", account))
    output.say(f"{account} is deleted")
