"""What a list shows: the part of it that is wanted, its rows, and a mark for a row that cannot be decrypted."""

from collections.abc import Sequence
from typing import Generic, TypedDict, TypeVar
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.errors import Refused

Row = TypeVar("Row")


class ScanResult(Struct, Generic[Row], frozen=True):
    """Rows, newest first. `reached` is the last row that was looked at where there may be older ones that fit."""

    rows: Sequence[Row]
    reached: UUID | None = None


class Unreadable(Struct, frozen=True, kw_only=True):
    """Stands in a list for the row that the API calls `name`: its id as text, or the name of a provider, which has no id.

    `position` is that of an event.
    """

    name: str
    id: UUID = UUID(int=0)
    position: int = 0


def partition(rows: Sequence[Row | Unreadable]) -> tuple[list[Row], list[Unreadable]]:
    """Return the rows that could be read, and the marks of those that could not, each in their order."""
    readable = [row for row in rows if not isinstance(row, Unreadable)]
    return readable, [row for row in rows if isinstance(row, Unreadable)]


class Window(TypedDict):
    """A part of a list, newest first: rows older than the id `before`. It is unpacked into what reads the list."""

    before: UUID | None
    limit: int


def found(row: Row | None, what: str) -> Row:
    """Return the row. Raises `Refused` (404) where there is none."""
    if row is None:
        raise Refused.not_found(f"there is no such {what}")
    return row
