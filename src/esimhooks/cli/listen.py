"""`esimhooks listen`: webhooks on this machine, as they arrive.

With a key it attaches to the server's stream; without one, or with `--port`, it is an HTTP inspector. The parts are in
`listening`: where requests come from, and the listener that works on them. They are shown here: a heading, headers,
verification, body and answer for people, or one line of JSON.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.listening.captured import Answered, Captured, CaptureLog, Forwarder, Request, as_json, pretty
from esimhooks.cli.listening.listener import Listener, ListenerOptions
from esimhooks.cli.listening.page import Page
from esimhooks.cli.listening.sources import Attached, Inspector
from esimhooks.cli.options import Account, InMode, event_types, web_address
from esimhooks.cli.output import printable, screen
from esimhooks.signing import InvalidSecretError, key_of, new_secret, padded

PORT = 8401
MAX_CHARACTERS = 16_384
MAX_ANSWER_CHARACTERS = 500


def listen(  # noqa: PLR0913 - the options of a command
    *,
    forward: Annotated[
        str | None, typer.Option("--forward", metavar="URL", help="Forward each request to this URL.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="N", min=0, max=65_535, help="Run as an HTTP inspector on this port, 0 for any."
        ),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            "--secret", envvar="ESIMHOOKS_WEBHOOK_SECRET", help="Inspector: verify with it. Stream: sign with it."
        ),
    ] = None,
    brand: Annotated[
        str | None, typer.Option("--hex", metavar="BRAND", help="Inspector: verify the hex profile.")
    ] = None,
    events: Annotated[
        str | None, typer.Option("--events", metavar="TYPES", help="Only these event types, separated by commas.")
    ] = None,
    answer: Annotated[
        int,
        typer.Option(
            "--answer", metavar="N", min=200, max=599, help="Inspector without --forward: status to answer with."
        ),
    ] = 200,
    count: Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="Exit after this many.")] = None,
    web: Annotated[bool, typer.Option("--web", help="Also show them in a browser page, with replay.")] = False,
    web_port: Annotated[
        int, typer.Option("--web-port", metavar="N", min=0, max=65_535, help="Port of that page, 0 for any.")
    ] = 0,
    account: Account = None,
    mode: InMode = None,
    in_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show webhooks as they arrive on this machine.

    With ESIMHOOKS_API_KEY it follows the server's event stream, so no public URL is needed. Otherwise, or with --port, it is
    an HTTP inspector on 127.0.0.1. Ctrl-C stops it.
    """
    attaches = port is None and bool(os.environ.get("ESIMHOOKS_API_KEY", "").strip())
    forwarder = None if forward is None else Forwarder(web_address(forward, option="--forward"))
    if attaches:
        secret, brand = padded(secret or _persistent_secret()) if forwarder else None, None
    options = ListenerOptions(
        secret=secret, brand=brand, verifies=not attaches, types=event_types(events), max_shown=count
    )
    try:
        listener = Listener(printer(in_json=in_json), captures=CaptureLog(), options=options, forwarder=forwarder)
        if attaches and secret is not None:
            key_of(secret)
    except InvalidSecretError as error:
        raise typer.BadParameter(f"--secret: {error}") from None
    with _ends_quietly(listener):
        page = Page(listener, port=web_port) if web else None
        if page is not None:
            output.note(f"the page: {page.url}")
        try:
            if attaches:
                _attach(listener, Client.from_environment(account=account, mode=mode), secret)
            else:
                _inspect(listener, PORT if port is None else port, answer)
        finally:
            if page is not None:
                page.close()


def _attach(listener: Listener, client: Client, secret: str | None) -> None:
    output.note(f"attached to the events of {client.url}; Ctrl-C ends")
    if listener.forwarder is not None:
        output.copyable_note(f"forwarding to {listener.forwarder.url}, signed with {secret}")
    Attached(client, listener, secret=secret, note=output.note).run()


def _inspect(listener: Listener, port: int, answer: int) -> None:
    inspector = Inspector(listener, port=port, answer=answer)
    output.note(f"listening on {inspector.url}; Ctrl-C ends")
    if listener.forwarder is not None:
        output.note(f"forwarding to {listener.forwarder.url}")
    inspector.run()


@contextmanager
def _ends_quietly(listener: Listener) -> Iterator[None]:
    """SIGTERM is like Ctrl-C, and both are how this command is meant to end, also where a script began it with `&`."""
    before = {one: signal.signal(one, signal.default_int_handler) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        output.note(f"{listener.shown} shown")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _persistent_secret() -> str:
    """Return the secret that this user signs with, the same at every start, so that a receiver keeps its configuration."""
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    file = state / "esimhooks" / "listen-secret"
    try:
        secret = file.read_text().strip()
        key_of(secret)
    except (OSError, InvalidSecretError):
        secret = new_secret()
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(f"{secret}\n")
        except OSError as error:
            output.note(f"the secret is for this run only: {file} cannot be written ({error.strerror})")
    return secret


def printer(*, in_json: bool) -> Callable[[Captured], None]:
    """Return what shows a request on standard output."""
    if in_json:
        return _print_json
    console = screen()
    return lambda captured: _print(console, captured)


def _print_json(captured: Captured) -> None:
    output.json(as_json(captured))


def _print(console: Console, captured: Captured) -> None:
    request = captured.request
    console.print(_heading(captured), soft_wrap=True)
    if captured.verification is not None:
        good = captured.verification.verified
        verdict = "verified" if good else f"NOT VERIFIED: {captured.verification.why}"
        console.print(Text(f"  {printable(verdict)}", style="green" if good else "bold red"), soft_wrap=True)
    for name, value in request.headers:
        console.print(
            Text(f"  {printable(name)}: ", style="dim").append(printable(value), style="default"), soft_wrap=True
        )
    text = pretty(request.body)
    output.block("\n".join(f"  {line}" for line in text[:MAX_CHARACTERS].splitlines()))
    if len(text) > MAX_CHARACTERS:
        console.print(Text(f"  ... {len(text) - MAX_CHARACTERS} characters more", style="dim"))
    if captured.answered is not None:
        console.print(_answer(captured.answered), soft_wrap=True)
    console.print()


def _heading(captured: Captured) -> Text:
    request = captured.request
    kind, identity = request.event
    words = [f"#{captured.number}", request.at.astimezone().strftime("%H:%M:%S.%f")[:-3]]
    if request.method:
        words += [request.method, request.target]
    again = [] if captured.replays is None else [f"(replay of #{captured.replays})"]
    head = Text(printable("  ".join([*words, *again])), style="bold")
    head.append(printable("  ".join(["", *(one for one in (kind, identity) if one)])), style="bold cyan")
    return head.append(printable(f"  {_timing(request)}"), style="dim")


def _timing(request: Request) -> str:
    parts = [f"{len(request.body)} bytes"]
    if request.read_s:
        parts.append(f"read in {request.read_s * 1000:.1f} ms")
    stamp = request.header("webhook-timestamp")
    if request.read_s and stamp.isascii() and stamp.isdigit() and len(stamp) <= 11:
        parts.append(f"signed {request.at.timestamp() - int(stamp):.0f} s ago")
    return ", ".join(parts)


def _answer(answered: Answered) -> Text:
    took = f"in {answered.took_s * 1000:.0f} ms"
    if answered.status is None:
        return Text(printable(f"  -> {answered.url}: {answered.error} {took}"), style="bold red")
    style = "green" if 200 <= answered.status < 300 else "bold red"
    answer = answered.body.decode(errors="backslashreplace").strip()[:MAX_ANSWER_CHARACTERS]
    line = Text(printable(f"  -> {answered.url}: {answered.status} {took}"), style=style)
    return line.append(printable(f"  {answer}") if answer else "", style="default")
