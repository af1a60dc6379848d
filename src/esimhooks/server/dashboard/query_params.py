"""Query parameters of lists: filters, a span of time and the cursor in, typed values out. Unknown values are refused.

A time that a browser's field sends has no zone; it is UTC, as all times on the pages are.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from msgspec import Struct

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.lists import from_cursor, to_cursor
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import SessionUser
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import EPOCH, Prefix, first_id_of, made_at, parse_id
from esimhooks.server.domain.lists import Window
from esimhooks.server.store import accounts
from esimhooks.server.store.database import Session

ROWS = 25
MAX_TEXT = 200
LAST = {
    "15min": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
"""Spans that end now, by what stands for them in an address."""
EXPECTED_TIME = "expected a time in UTC such as 2026-11-25T14:30"
Row = TypeVar("Row")
Word = TypeVar("Word", bound=StrEnum)


class ListPart(Struct, frozen=True):
    """A part of a list and the cursor of the next, if there is one.

    `back_to` is how far a search looked that could not look at all rows at once.
    """

    rows: Sequence[object]
    cursor: str | None
    back_to: datetime | None = None
    is_later: bool = False
    """Whether newer rows come before this part."""


class Period(Struct, frozen=True):
    """From `start` to before `end`, aware UTC; None where it is open. `last` is the name of a span that ends now."""

    start: datetime | None = None
    end: datetime | None = None
    last: str | None = None

    @property
    def first_id(self) -> UUID | None:
        """The first id that a row of this time can have."""
        return None if self.start is None else first_id_of(self.start)

    @property
    def last_id(self) -> UUID | None:
        """The first id behind this time."""
        return None if self.end is None else first_id_of(self.end)

    @property
    def fields(self) -> dict[str, str | None]:
        """How it stands in an address, and in the fields of a form."""
        if self.last:
            return {"last": self.last, "from": None, "to": None}
        return {"last": None, "from": field_of(self.start), "to": field_of(self.end)}


def text(request: Request, name: str) -> str | None:
    """Return the parameter, or None. Raises `Refused` (422) for more than 200 characters or others."""
    value = request.query.get(name, "").strip()
    if len(value) > MAX_TEXT or not value.isprintable():
        raise Refused.invalid(f"/{name}", f"expected at most {MAX_TEXT} characters that can be printed")
    return value or None


def joined(request: Request, name: str) -> str:
    """Return all values of the parameter, with commas in between."""
    return ",".join(value for one, value in request.query_pairs if one == name)


def member(request: Request, name: str, kind: type[Word]) -> Word | None:
    """Return the parameter as a member, or None. Raises `Refused` (422) for a value that is none of them."""
    value = one_of(request, name, list(kind))
    return None if value is None else kind(value)


def one_of(request: Request, name: str, values: Collection[str]) -> str | None:
    """Return the parameter, one of the values, or None. Raises `Refused` (422) for any other."""
    value = text(request, name)
    if value is not None and value not in values:
        raise Refused.invalid(f"/{name}", f"expected one of {', '.join(values)}, not {value[:40]}")
    return value


def number(request: Request, name: str, *, minimum: int, maximum: int) -> int | None:
    """Return the parameter as a number, or None. Raises `Refused` (422) for what is none in these bounds."""
    value = text(request, name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or not minimum <= int(value[:9]) <= maximum:
        raise Refused.invalid(f"/{name}", f"expected a number from {minimum} to {maximum}")
    return int(value)


def row_id(request: Request, name: str, prefix: Prefix) -> UUID | None:
    """Return the parameter as an id, or None. Raises `Refused` (422) for one of another kind."""
    value = text(request, name)
    try:
        return None if value is None else parse_id(prefix, value)
    except Refused as refused:
        raise Refused.invalid(f"/{name}", refused.detail) from None


def period(request: Request, now: datetime) -> Period:
    """Return the span between two times, or the last one up to `now`. Raises `Refused` (422) for what is no time."""
    last = one_of(request, "last", LAST)
    between = period_of(request.query)
    if last is None or between.start or between.end:
        return between
    return Period(start=now - LAST[last], last=last)


def window(request: Request) -> Window:
    """Return the part of the list, one row larger than is shown."""
    cursor = text(request, "cursor")
    return Window(before=from_cursor(cursor) if cursor else None, limit=ROWS + 1)


def list_part(request: Request, rows: Sequence[Row], ids: Sequence[UUID], *, reached: UUID | None = None) -> ListPart:
    """Return the part of the list for rows that were read through `window`; `reached` is where the search ended."""
    is_later = "cursor" in request.query
    if len(rows) > ROWS:
        return ListPart(rows[:ROWS], to_cursor(ids[ROWS - 1]), is_later=is_later)
    if reached is None:
        return ListPart(rows, None, is_later=is_later)
    return ListPart(rows, to_cursor(reached), made_at(reached), is_later)


async def choose_account(request: Request, db: Session, user: SessionUser) -> Response | None:
    """Return the page on which an operator chooses an account, where none is chosen."""
    if user.tenant is not None:
        return None
    name = text(request, "name")
    rows = await accounts.page(db, **window(request), name=name)
    values = {
        "title": "Choose an account",
        "list": list_part(request, rows, [row.id for row in rows]),
        "name": name,
        "path": request.path,
    }
    return page("choose.html", user, values)


def period_of(fields: Mapping[str, str]) -> Period:
    """Return the span of the fields from and to. Raises `Refused` (422) for what is no time, or ends before it begins."""
    start, end = time_of(fields, "from"), time_of(fields, "to")
    if start is not None and end is not None and start >= end:
        raise Refused.invalid("/from", "expected a time before that of to")
    return Period(start, end)


def time_of(fields: Mapping[str, str], name: str) -> datetime | None:
    """Return the time in a field, None for an empty one. Raises `Refused` (422)."""
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return max(found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC), EPOCH)
    except (ValueError, OverflowError):
        raise Refused.invalid(f"/{name}", EXPECTED_TIME) from None


def field_of(at: datetime | None) -> str | None:
    """Return a time as a browser's field for it takes it, to the second where it has seconds."""
    if at is None:
        return None
    return at.replace(tzinfo=None).isoformat(timespec="seconds" if at.second else "minutes")
