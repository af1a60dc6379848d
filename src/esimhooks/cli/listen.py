"""`esimhooks listen`: webhooks on this machine, as they arrive.

With a key it attaches to the server's stream; without one, or with `--port`, it is an HTTP inspector. The parts are in
`listening`: where requests come from, the desk that works on them, and where they are seen.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import typer

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.listening.captured import Book
from esimhooks.cli.listening.desk import Desk, Wish
from esimhooks.cli.listening.forward import Forwarder
from esimhooks.cli.listening.inspector import Inspector
from esimhooks.cli.listening.page import Page
from esimhooks.cli.listening.shown import shower
from esimhooks.cli.listening.stream import Attached
from esimhooks.cli.options import Account, InMode
from esimhooks.signing import InvalidSecretError, key_of, new_secret
from esimhooks.vocabulary.events import EventType

PORT = 8401


def listen(  # noqa: PLR0913 - the options of a command
    *,
    forward: Annotated[str | None, typer.Option("--forward", metavar="URL", help="Send each request on to it.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Be an HTTP inspector on this port, 0 for any.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option("--secret", envvar="ESIMHOOKS_WEBHOOK_SECRET", help="Inspector: verifies. Stream: signs."),
    ] = None,
    brand: Annotated[
        str | None, typer.Option("--hex", metavar="BRAND", help="Inspector: verify the profile hex.")
    ] = None,
    events: Annotated[
        str | None, typer.Option("--events", metavar="TYPES", help="Only these, separated by commas.")
    ] = None,
    answer: Annotated[
        int, typer.Option("--answer", min=200, max=599, help="Inspector without --forward: the status to answer.")
    ] = 200,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many.")] = None,
    web: Annotated[bool, typer.Option("--web", help="Show them in a browser page too, with replay.")] = False,
    web_port: Annotated[int, typer.Option("--web-port", min=0, max=65_535, help="Port of that page, 0 for any.")] = 0,
    account: Account = None,
    mode: InMode = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show webhooks as they arrive on this machine.

    With ESIMHOOKS_API_KEY it attaches to the server's stream of events, so no public address is needed; otherwise, or
    with --port, it is an HTTP inspector on 127.0.0.1. Ctrl-C ends it.
    """
    attaches = port is None and bool(os.environ.get("ESIMHOOKS_API_KEY", "").strip())
    forwarder = None if forward is None else Forwarder(_address(forward))
    if attaches:
        secret, brand = (secret or new_secret()) if forwarder else None, None
    wish = Wish(secret=secret, brand=brand, verifies=not attaches, types=_types(events), most=count)
    try:
        desk = Desk(shower(in_json=as_json), book=Book(), wish=wish, forwarder=forwarder)
        if attaches and secret is not None:
            key_of(secret)
    except InvalidSecretError as error:
        raise typer.BadParameter(f"--secret: {error}") from None
    with _quiet_end(desk):
        page = Page(desk, port=web_port) if web else None
        if page is not None:
            output.note(f"the page: {page.url}")
        try:
            if attaches:
                _attach(desk, Client.from_environment(account=account, mode=mode), secret)
            else:
                _inspect(desk, PORT if port is None else port, answer)
        finally:
            if page is not None:
                page.close()


def _attach(desk: Desk, client: Client, secret: str | None) -> None:
    output.note(f"attached to the events of {client.url}; Ctrl-C ends")
    if desk.forwarder is not None:
        output.note(f"forwarding to {desk.forwarder.url}, signed with {secret}")
    Attached(client, desk, secret=secret, note=output.note).run()


def _inspect(desk: Desk, port: int, answer: int) -> None:
    inspector = Inspector(desk, port=port, answer=answer)
    output.note(f"listening on {inspector.url}; Ctrl-C ends")
    if desk.forwarder is not None:
        output.note(f"forwarding to {desk.forwarder.url}")
    inspector.run()


@contextmanager
def _quiet_end(desk: Desk) -> Iterator[None]:
    """SIGTERM is like Ctrl-C, and both are how this command is meant to end, also where a script began it with `&`."""
    before = {one: signal.signal(one, signal.default_int_handler) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        output.note(f"{desk.shown} shown")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in url
    except ValueError:
        usable = False
    if not usable:
        raise typer.BadParameter(f"--forward {url}: expected an address like http://127.0.0.1:3000/webhooks/esim")
    return parts


def _types(text: str | None) -> frozenset[str]:
    names = frozenset(part.strip() for part in (text or "").split(",") if part.strip())
    if unknown := names - set(EventType):
        raise typer.BadParameter(
            f"--events: no such type {', '.join(sorted(unknown))}; there are {', '.join(EventType)}"
        )
    return names
