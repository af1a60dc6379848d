"""What a list shows: rows, how far a search looked for them, and a mark for a row that cannot be decrypted."""

from collections.abc import Sequence
from typing import Generic, TypeVar
from uuid import UUID

from msgspec import Struct

Row = TypeVar("Row")


class Looked(Struct, Generic[Row], frozen=True):
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
