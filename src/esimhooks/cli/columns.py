"""Lists on a terminal: rows come in as JSON objects, one line a row goes out, never wider than the screen.

Columns stand in the order of their importance: those that do not fit are left out from the end. Times become ages, ids
of other things are shortened and long texts cut; the row's own id never, as the next command needs it. Wide lists, and
those that go to no terminal, have everything whole.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from esimhooks.cli.output import cell

GAP = 2
FIRST_TEXT, ELASTIC, MIN_WIDTH = 32, 20, 8
"""How far a text is cut before a column is left out: the second column, and all others, in which every word of ours and
every ICCID is whole. The first column that is left out is shown after all where so much is left for it."""
ID = re.compile(r"([a-z]+_)[0-9a-z]{20}([0-9a-z]{6})")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))

Row = Mapping[str, Any]


class Column(Struct, frozen=True):
    """One column; `field` is a path such as `data.id`."""

    field: str
    title: str

    @classmethod
    def listed(cls, text: str) -> "list[Column]":
        """Return the columns of `id createdAt:age data.id:esim`, each with its title."""
        return [cls(field, title or field) for field, _, title in (one.partition(":") for one in text.split())]

    def heading(self, *, ages: bool) -> str:
        """Return what stands above the column; where times are whole, `createdAt:age` is no age but `CREATED`."""
        if ages or self.title != "age":
            return self.title.upper()
        before = self.field.removesuffix("At")
        return "TIME" if before == self.field else before.upper()


class _Shown(Struct, frozen=True):
    cells: list[Text]
    natural: int
    min_width: int


def print_rows(console: Console, rows: Sequence[Row], columns: str, *, wide: bool, skipped: int = 0) -> None:
    """Print a header and one line a row; `console` says how wide the screen is.

    The first `skipped` rows, and then the header too, were printed before and only say how wide columns are.
    """
    width = None if wide or not console.is_terminal else console.width
    for line in lines(rows, columns, width=width)[skipped + 1 if skipped else 0 :]:
        console.print(line, soft_wrap=True)


def lines(rows: Sequence[Row], columns: str, *, width: int | None, now: datetime | None = None) -> list[Text]:
    """Return header and rows as lines of at most `width` columns; None for no bound."""
    at = now or datetime.now(UTC)
    shown = [
        _column(
            column.heading(ages=width is not None),
            [_cell(row, column.field, own=not number, now=at if width else None) for row in rows],
            number,
        )
        for number, column in enumerate(Column.listed(columns))
    ]
    fitted = [(one, one.natural) for one in shown] if width is None else _fit(shown, width)
    return [_line([(one.cells[number], size) for one, size in fitted]) for number in range(len(rows) + 1)]


def value_of(row: Row, field: str) -> Any:
    """Return what stands at a path such as `actor.name`; None where there is nothing."""
    value: Any = row
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return list(value) if isinstance(value, Mapping) else value


def shortened(text: str, now: datetime | None) -> str:
    """Return a time as its age and an id by its end; None for `now` leaves both whole."""
    if now is None:
        return text
    return age(text, now) if TIME.fullmatch(text) else ID.sub(r"\1…\2", text)


def age(text: str, now: datetime) -> str:
    """Return `4m` for a time four minutes ago and `in 4m` for one that is to come."""
    seconds = (now - datetime.fromisoformat(text)).total_seconds()
    unit, size = next(((unit, size) for unit, size in UNITS if abs(seconds) >= size), ("s", 1))
    past = f"{abs(seconds) / size:.0f}{unit}"
    return past if seconds >= 0 else f"in {past}"


def _cell(row: Row, field: str, *, own: bool, now: datetime | None) -> Text:
    """Return a value as text, shortened where `now` is given: ids begin with their time, so their ends differ."""
    value = value_of(row, field)
    if isinstance(value, str) and (not own or TIME.fullmatch(value)):
        value = shortened(value, now)
    return cell(value)


def _column(heading: str, cells: list[Text], number: int) -> _Shown:
    title = Text(heading, style="bold")
    natural = max(cell_len(one.plain) for one in (title, *cells))
    min_width = natural if number == 0 else min(natural, FIRST_TEXT if number == 1 else ELASTIC)
    return _Shown([title, *cells], natural, min_width)


def _fit(shown: Sequence[_Shown], width: int) -> list[tuple[_Shown, int]]:
    """Leave columns out until the rest fits, then give what is left to texts that were cut."""
    kept = list(shown)
    while len(kept) > 1 and sum(one.min_width + GAP for one in kept) - GAP > width:
        kept.pop()
    spare = width - sum(one.min_width + GAP for one in kept) + GAP
    if len(kept) < len(shown) and spare >= GAP + MIN_WIDTH:
        cut = shown[len(kept)]
        return [*((one, one.min_width) for one in kept), (cut, min(spare - GAP, cut.natural))]
    fitted = []
    for one in kept:
        more = min(max(spare, 0), one.natural - one.min_width)
        spare -= more
        fitted.append((one, min(one.min_width + more, width)))
    return fitted


def _line(cells: Sequence[tuple[Text, int]]) -> Text:
    line = Text()
    for text, size in cells:
        plain = text.plain
        cut = plain if cell_len(plain) <= size else set_cell_size(plain, size - 1).rstrip() + "…"
        line.append(set_cell_size(cut, size), style=text.style or "default").append(" " * GAP)
    line.rstrip()
    return line
