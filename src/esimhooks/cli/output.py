"""What is printed: text for people, the API's own JSON for programs, messages on standard error.

Answers come in as bytes or decoded, text goes out. Nothing that somebody else wrote may control the terminal, so
characters that do not print are shown as escapes. Prose is wrapped to the terminal; what is made to be copied, an id, a
key or a command, is one line at any width. Colours only on a terminal.
"""

import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from esimhooks.server.domain.validation import CONTROLS

UNWRAPPED_WIDTH = 500
_CONTROL = re.compile(f"(?!\n)[{CONTROLS}]")
TONES = {
    "delivered": "green",
    "2xx": "green",
    "pending": "yellow",
    "failed": "red",
    "stopped": "red",
    "cancelled": "dim",
}


def open_streams() -> None:
    """Put empty streams where the process was given none; what an old encoding lacks is printed as `?`."""
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - it stays open
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - the same
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - the same
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def screen(*, stderr: bool = False) -> Console:
    """Return where to print. What is no terminal gets no colours and no line breaks of ours."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr,
        force_terminal=terminal,
        no_color=None if terminal else True,
        width=None if terminal else UNWRAPPED_WIDTH,
        highlight=False,
        markup=False,
        soft_wrap=not terminal,
    )


def say(text: str) -> None:
    """Print prose, wrapped to the terminal."""
    console = screen()
    for line in wrapped(text, room(console)):
        console.print(Text(line), soft_wrap=True)


def copyable(text: str) -> None:
    """Print one line that is made to be copied, whatever the width."""
    screen().print(Text(text), soft_wrap=True)


def complain(text: str) -> None:
    """Print what went wrong on standard error."""
    console = screen(stderr=True)
    lines = [part for line in text.split("\n") for part in wrapped(printable(line), room(console) - 7)] or [""]
    console.print(Text("error: ", style="bold red").append(lines[0], style="default"), soft_wrap=True)
    for line in lines[1:]:
        console.print(Text(f"       {line}"), soft_wrap=True)


def note(text: str) -> None:
    """Print a hint on standard error, out of the way of what is piped."""
    console = screen(stderr=True)
    for line in wrapped(printable(text), room(console)):
        console.print(Text(line, style="dim"), soft_wrap=True)


def copyable_note(text: str) -> None:
    """Print a hint on standard error as one line that is made to be copied."""
    screen(stderr=True).print(Text(printable(text), style="dim"), soft_wrap=True)


def block(text: str, *, stderr: bool = False) -> None:
    """Print lines as they are; what is longer than the screen is for the terminal to wrap."""
    console = screen(stderr=stderr)
    for line in text.splitlines():
        console.print(Text(printable(line)), soft_wrap=True)


def room(console: Console) -> int:
    """Return how many columns prose may take; without end where no person looks."""
    return console.width if console.is_terminal else sys.maxsize


def wrapped(text: str, width: int, *, below: str = "") -> list[str]:
    """Return the lines of a text; words stay whole, as they may be ids, and further lines begin with `below`."""
    return textwrap.wrap(
        text, max(width, 20), subsequent_indent=below, break_long_words=False, break_on_hyphens=False
    ) or [text]


def program() -> str:
    """Return how this program is called from the same terminal, where it may not be on the path."""
    return "esimhooks" if shutil.which("esimhooks") else sys.argv[0]


def raw(body: bytes) -> None:
    """Print the JSON of an answer, and nothing for an empty one; what could control the terminal is escaped.

    It is UTF-8 whatever the terminal's encoding is (RFC 8259).
    """
    if body:
        text = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", body.decode()) + "\n"
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()


def json(value: Any) -> None:
    """Print a value of our own as JSON."""
    raw(msgspec.json.encode(value))


def fields(title: str, values: Mapping[str, object]) -> None:
    """Print the fields of one thing, one a line; those of a thing inside it as `endpoint.secret`.

    A value that is one word stays one line at any width, so that it can be copied; below its name where it is too long.
    """
    console = screen()
    console.print(Text(printable(title), style="bold"), soft_wrap=True)
    flat = [(printable(name), cell(value)) for name, value in _flat(values)]
    indent = min(max((len(name) for name, _ in flat), default=0) + 4, 32)
    for name, value in flat:
        lines = wrapped(value.plain, room(console) - indent)
        below = any(len(line) > room(console) - indent for line in lines)
        if below:
            console.print(Text(f"  {name}", style="dim"), soft_wrap=True)
            lines = wrapped(value.plain, room(console) - 4)
        for number, line in enumerate(lines):
            label = "    " if below else (f"  {name}" if number == 0 else "").ljust(indent)
            console.print(Text(label, style="dim").append(line, style=value.style or "default"), soft_wrap=True)


def cell(value: object) -> Text:
    """Return one value as text; nothing is `-`."""
    match value:
        case None | [] | {} | "":
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case list() if value and all(isinstance(one, str | int) for one in value):
            text = ", ".join(map(str, value))
        case dict() | list():
            text = msgspec.json.encode(value).decode()
        case _:
            text = str(value)
    return Text(printable(text), style=TONES.get(text, ""))


def printable(text: str) -> str:
    """Return the text with characters that do not print as escapes: `\\x1b` instead of an escape sequence."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _flat(values: Mapping[str, object], below: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            yield from _flat({str(number): one for number, one in enumerate(value, 1)}, f"{below}{name}.")
        elif isinstance(value, dict) and value:
            yield from _flat(value, f"{below}{name}.")
        else:
            yield f"{below}{name}", value
