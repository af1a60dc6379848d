"""Lists: `limit` and `cursor` in, `{data, nextCursor}` out. A cursor is opaque to callers."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from msgspec import Meta, Struct

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.lists import Unreadable, Window, partition

Row = TypeVar("Row")
View = TypeVar("View")

Limit = Annotated[int, Meta(ge=1, le=100, description="number of rows, 1-100")]
Cursor = Annotated[str, Meta(max_length=64, description="`nextCursor` of the previous page")] | None

NameCursor = Annotated[str, Meta(max_length=128, description="`nextCursor` of the previous page")] | None


class Listed(Struct, Generic[View], frozen=True, rename="camel", omit_defaults=True):
    """One page of a list; `nextCursor` is null on the last one.

    `unreadable`, if present, names rows that cannot be decrypted and are missing from `data`.
    """

    data: list[View]
    next_cursor: str | None
    unreadable: list[str] = []


def window(limit: int, cursor: str | None) -> Window:
    """Return the window to read, one row larger than the page, to know whether there is more."""
    return Window(before=None if cursor is None else from_cursor(cursor), limit=limit + 1)


def listed(
    rows: Sequence[Row | Unreadable], limit: int, view: Callable[[Row], View], id_of: Callable[[Row | Unreadable], UUID]
) -> Listed[View]:
    """Return the page for rows that were read through `window`."""
    shown = rows[:limit]
    return _page(shown, view, to_cursor(id_of(shown[-1])) if len(rows) > limit else None)


def part_of(
    rows: Sequence[Row | Unreadable],
    limit: int,
    cursor: str | None,
    view: Callable[[Row], View],
    name_of: Callable[[Row], str],
) -> Listed[View]:
    """Return the page of a list that is always read whole, in the order of its names. Raises `Refused` (422)."""

    def name(row: Row | Unreadable) -> str:
        return row.name if isinstance(row, Unreadable) else name_of(row)

    behind = "" if cursor is None else _name_in(cursor)
    rest = [row for row in rows if name(row) > behind]
    more = _encode(name(rest[limit - 1]).encode()) if len(rest) > limit else None
    return _page(rest[:limit], view, more)


def _page(rows: Sequence[Row | Unreadable], view: Callable[[Row], View], next_cursor: str | None) -> Listed[View]:
    readable, unreadable = partition(rows)
    return Listed([view(row) for row in readable], next_cursor, [row.name for row in unreadable])


def to_cursor(row_id: UUID) -> str:
    """Return the cursor behind a row."""
    return _encode(row_id.bytes)


def from_cursor(cursor: str) -> UUID:
    """Return the id of the row behind which a cursor stands. Raises `Refused` (422)."""
    try:
        return UUID(bytes=_decode(cursor))
    except ValueError:
        raise _no_cursor() from None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(cursor: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(cursor + "==")
    except (ValueError, binascii.Error):
        raise _no_cursor() from None


def _name_in(cursor: str) -> str:
    raw = _decode(cursor)
    if not raw or _encode(raw) != cursor:
        raise _no_cursor()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _no_cursor() from None


def _no_cursor() -> Refused:
    return Refused.invalid("query:cursor", "expected the nextCursor of a previous page")
