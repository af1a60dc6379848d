"""`esimhooks providers`: where eSIMs are bought. Needs an operator's key; credentials go in and never come out."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import AsJson
from esimhooks.cli.values import json_values, pair, path

app = typer.Typer(help="Providers of eSIMs.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]


class Row(Struct, rename="camel"):
    """A line of the list."""

    name: str
    kind: str
    base_url: str | None
    credentials_set: list[str]
    inbound_url: str


@app.command("list")
def list_providers(*, as_json: AsJson = False) -> None:
    """List all providers."""
    output.show_page(Client.from_environment().get(path("providers"), limit=100), Row, as_json=as_json)


@app.command("show")
def show_provider(name: Name, *, as_json: AsJson = False) -> None:
    """Show a provider, with the address that it sends notifications to."""
    output.show_one(Client.from_environment().get(path("providers", name)), name, as_json=as_json)


@app.command("put")
def put_provider(
    name: Name,
    *,
    kind: Annotated[str, typer.Option("--kind", help="As esimaccess.")],
    base_url: Annotated[str | None, typer.Option("--base-url", help="Its API, where it is not the usual one.")] = None,
    credential: Annotated[
        list[str] | None,
        typer.Option("--credential", metavar="NAME[=VALUE]", help="Without a value it is asked for; repeatable."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--setting", metavar="NAME=VALUE", help="As confirm=terminal; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store a provider; one of that name keeps its inbound address."""
    body = {
        "kind": kind,
        "credentials": _credentials(credential or []),
        "settings": json_values(setting or []),
    } | ({} if base_url is None else {"baseUrl": base_url})
    answer = Client.from_environment().put(path("providers", name), body)
    output.show_one(answer, name, as_json=as_json)


def _credentials(given: Sequence[str]) -> dict[str, str]:
    """Values on the command line are seen by all users of the machine, so a name alone is asked for."""
    return dict(pair(one) if "=" in one else (one, _asked(one)) for one in given)


def _asked(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(name, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")
