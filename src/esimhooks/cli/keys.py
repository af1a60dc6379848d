"""`esimhooks keys`: the API keys of an account. Needs an operator's key; a new key's text is printed this once."""

from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import AsJson, Cursor, Limit
from esimhooks.cli.values import path
from esimhooks.vocabulary.statuses import Mode

app = typer.Typer(help="API keys of an account.", no_args_is_help=True)

Owner = Annotated[str, typer.Option("--account", metavar="ACC", help="Whose keys.")]


class Row(Struct, rename="camel"):
    """A line of the list."""

    id: str
    name: str
    mode: str
    endpoint_id: str | None
    expires_at: str | None
    last_used_at: str | None
    created_at: str


@app.command("list")
def list_keys(*, account: Owner, limit: Limit = 25, cursor: Cursor = None, as_json: AsJson = False) -> None:
    """List an account's keys."""
    answer = Client.from_environment().get(path("accounts", account, "keys"), limit=limit, cursor=cursor)
    output.show_page(answer, Row, as_json=as_json)


@app.command("create")
def create_key(  # noqa: PLR0913 - each is an option
    *,
    account: Owner,
    mode: Annotated[Mode, typer.Option("--mode", help="Whether it acts on real business or on tests.")],
    name: Annotated[str, typer.Option("--name", help="What it is called.")],
    webhook_url: Annotated[str | None, typer.Option("--webhook-url", help="Where webhooks go.")] = None,
    allowed_ip: Annotated[
        list[str] | None, typer.Option("--allowed-ip", metavar="CIDR", help="Who may use it; may be repeated.")
    ] = None,
    expires_at: Annotated[str | None, typer.Option("--expires-at", metavar="TIME", help="Its last moment.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; its text and its endpoint's secret are printed this once."""
    told = {
        "mode": mode,
        "name": name,
        "webhookUrl": webhook_url,
        "allowedIps": allowed_ip or None,
        "expiresAt": expires_at,
    }
    body = {field: value for field, value in told.items() if value is not None}
    answer = Client.from_environment().post(path("accounts", account, "keys"), body)
    output.show_one(answer, "new key, shown this once", as_json=as_json)


@app.command("revoke")
def revoke_key(key: Annotated[str, typer.Argument(metavar="ID")], *, account: Owner) -> None:
    """Revoke a key at once."""
    Client.from_environment().delete(path("accounts", account, "keys", key))
    output.say(f"{key} is revoked")
