"""How `listen` shows a request: a heading, headers, verification, body and answer for people, or one line of JSON."""

import sys
from collections.abc import Callable

import msgspec
from rich.console import Console
from rich.text import Text

from esimhooks.cli.listening.captured import Answered, Captured, Request, as_json, pretty
from esimhooks.cli.output import printable, screen

MOST_CHARACTERS = 16_384
MOST_OF_ANSWER = 500


def shower(*, in_json: bool) -> Callable[[Captured], None]:
    """Return what shows a request on standard output."""
    if in_json:
        return _print_json
    console = screen()
    return lambda captured: _print(console, captured)


def _print_json(captured: Captured) -> None:
    sys.stdout.write(msgspec.json.encode(as_json(captured)).decode() + "\n")
    sys.stdout.flush()


def _print(console: Console, captured: Captured) -> None:
    request = captured.request
    console.print(_heading(captured))
    if captured.verification is not None:
        good = captured.verification.verified
        told = "verified" if good else f"NOT VERIFIED: {captured.verification.why}"
        console.print(Text(f"  {printable(told)}", style="green" if good else "bold red"))
    for name, value in request.headers:
        console.print(Text(f"  {printable(name)}: ", style="dim").append(printable(value), style="default"))
    text = pretty(request.body)
    for line in text[:MOST_CHARACTERS].splitlines():
        console.print(Text(f"  {printable(line)}"))
    if len(text) > MOST_CHARACTERS:
        console.print(Text(f"  ... {len(text) - MOST_CHARACTERS} characters more", style="dim"))
    if captured.answered is not None:
        console.print(_answer(captured.answered))
    console.print()


def _heading(captured: Captured) -> Text:
    request = captured.request
    kind, identity = request.event
    words = [
        f"#{captured.number}",
        request.at.astimezone().strftime("%H:%M:%S.%f")[:-3],
        request.method,
        request.target,
    ]
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
    said = answered.body.decode(errors="backslashreplace").strip()[:MOST_OF_ANSWER]
    line = Text(printable(f"  -> {answered.url}: {answered.status} {took}"), style=style)
    return line.append(printable(f"  {said}") if said else "", style="default")
