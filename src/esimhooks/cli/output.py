"""What is printed: tables and panels for people, the API's own JSON for programs, messages on standard error.

Answers come in as bytes or decoded, text goes out. Nothing that somebody else wrote may steer the terminal, so
characters that do not print are shown as escapes. Colours only on a terminal.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from esimhooks.cli.client import Answer

Row = TypeVar("Row", bound=Struct)
UNWRAPPED_WIDTH = 500
TONES = {
    "delivered": "green",
    "2xx": "green",
    "pending": "yellow",
    "failed": "red",
    "stopped": "red",
    "cancelled": "dim",
}


class Page(Struct, Generic[Row], rename="camel"):
    """One page of a list."""

    data: list[Row]
    next_cursor: str | None = None


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
    """Print a line."""
    screen().print(Text(text))


def complain(text: str) -> None:
    """Print what went wrong on standard error."""
    lines = "\n".join(printable(line) for line in text.splitlines())
    screen(stderr=True).print(Text("error: ", style="bold red").append(lines, style="default"))


def note(text: str) -> None:
    """Print a hint on standard error, out of the way of what is piped."""
    screen(stderr=True).print(Text(printable(text), style="dim"))


def raw(answer: Answer) -> None:
    """Print exactly the JSON of an answer, and nothing for an empty one."""
    if answer.body:
        sys.stdout.write(answer.body.decode() + "\n")


def show_page(answer: Answer, row: type[Row], *, as_json: bool) -> None:
    """Print one page of a list, and on standard error how to see the next."""
    if as_json:
        raw(answer)
        return
    page = answer.as_(Page[row])  # type: ignore[valid-type]  # the type is an argument
    show_rows(page.data, page.next_cursor)


def show_rows(rows: Sequence[Struct], next_cursor: str | None) -> None:
    """Print the rows of one page, and on standard error how to see the next."""
    if rows:
        screen().print(table(rows))
    else:
        note("nothing there")
    if next_cursor:
        note(f"there are more: --cursor {next_cursor}")


def show_one(answer: Answer, title: str, *, as_json: bool) -> None:
    """Print one thing with all of its fields."""
    if as_json:
        raw(answer)
    else:
        screen().print(panel(title, answer.as_(dict[str, Any])))


def show_with_rows(answer: Answer, title: str, *, rows: str, row: type[Row], as_json: bool) -> None:
    """Print one thing, the list in its field `rows` as a table below it."""
    if as_json:
        raw(answer)
        return
    fields = answer.as_(dict[str, Any])
    listed = msgspec.convert(fields.pop(rows, []), list[row])  # type: ignore[valid-type]  # the type is an argument
    screen().print(panel(title, fields))
    if listed:
        screen().print(table(listed))


def table(rows: Sequence[Struct]) -> Table:
    """Return rows of one type as a table whose columns are its fields."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for field in msgspec.structs.fields(rows[0]):
        shown.add_column(field.encode_name, overflow="fold", no_wrap=field.encode_name == "id")
    for row in rows:
        shown.add_row(*(cell(value) for value in msgspec.structs.astuple(row)))
    return shown


def panel(title: str, fields: Mapping[str, object]) -> Panel:
    """Return the fields of one thing, one a line; those of a thing inside it as `endpoint.secret`."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in _flat(fields):
        grid.add_row(Text(printable(name)), cell(value))
    return Panel(grid, title=Text(printable(title)), title_align="left", expand=False)


def _flat(fields: Mapping[str, object], below: str = "") -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{below}{name}.")
        else:
            yield below + name, value


def cell(value: object) -> Text:
    """Return a value as text that cannot do harm."""
    match value:
        case None:
            return Text("-", style="dim")
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
