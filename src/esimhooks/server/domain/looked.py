"""What a search found, and how far it looked: one that looks at so many rows may end before the last."""

from collections.abc import Sequence
from typing import Generic, TypeVar
from uuid import UUID

from msgspec import Struct

Row = TypeVar("Row")


class Looked(Struct, Generic[Row], frozen=True):
    """Rows, newest first. `reached` is the last row that was looked at where there may be older ones that fit."""

    rows: Sequence[Row]
    reached: UUID | None = None
