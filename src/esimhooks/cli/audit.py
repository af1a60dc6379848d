"""`esimhooks audit`: who changed what. Operators see all of it, merchants what was done in their account and mode."""

from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import AsJson, Cursor, From, InMode, Limit, To
from esimhooks.cli.values import path

app = typer.Typer(help="Who changed what.", no_args_is_help=True)


class Actor(Struct, rename="camel"):
    """Who acted."""

    kind: str
    key: str | None
    name: str | None


class Entry(Struct, rename="camel"):
    """One change as the API tells it."""

    at: str
    actor: Actor
    address: str | None
    action: str
    subject: str
    account: str | None
    changes: dict[str, object]


class Row(Struct, rename="camel"):
    """A line of the list: of what changed only the names; `--json` has the values."""

    at: str
    actor: str
    address: str | None
    action: str
    subject: str
    account: str | None
    changed: list[str]


@app.command("list")
def list_audit(  # noqa: PLR0913 - each is an option
    *,
    account: Annotated[
        str | None, typer.Option("--account", metavar="ACC", help="With an operator's key: only this account.")
    ] = None,
    mode: InMode = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="WHO", help="A key's id, or operator, merchant or system.")
    ] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="WORD", help="As endpoint.change.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", metavar="ID", help="Only what was done to it.")] = None,
    start: From = None,
    end: To = None,
    limit: Limit = 25,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List who changed what, newest first."""
    where = {"actor": actor, "action": action, "subject": subject, "from": start, "to": end}
    answer = Client.from_environment(account=account, mode=mode).get(path("audit"), **where, limit=limit, cursor=cursor)
    if as_json:
        output.raw(answer)
    else:
        found = answer.as_(output.Page[Entry])
        output.show_rows([_row(entry) for entry in found.data], found.next_cursor)


def _row(entry: Entry) -> Row:
    return Row(
        at=entry.at,
        actor=entry.actor.name or entry.actor.kind,
        address=entry.address,
        action=entry.action,
        subject=entry.subject,
        account=entry.account,
        changed=list(entry.changes),
    )
