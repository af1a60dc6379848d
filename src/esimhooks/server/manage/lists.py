"""What reads of all kinds of rows share: a part of a list, and a row that must be there."""

from typing import TypedDict, TypeVar
from uuid import UUID

from esimhooks.server.domain.errors import Refused

Row = TypeVar("Row")


class Window(TypedDict):
    """A part of a list, newest first: rows older than the id `before`. It is unpacked into what reads the list."""

    before: UUID | None
    limit: int


def found(row: Row | None, what: str) -> Row:
    """Return the row. Raises `Refused` (404) where there is none."""
    if row is None:
        raise Refused.not_found(f"there is no such {what}")
    return row
