"""A span of time as people ask for it: `from` and `to` of a form or an address come in, aware UTC comes out.

What a browser's field for a time sends has no zone; it is UTC, as all times on the pages are.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import EPOCH, first_id_of

EXPECTED = "expected a time in UTC such as 2026-11-25T14:30"


class Period(Struct, frozen=True):
    """From `start` to before `end`, aware UTC; None where it is open."""

    start: datetime | None = None
    end: datetime | None = None

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
        return {"from": field_of(self.start), "to": field_of(self.end)}


def period_of(given: Mapping[str, str]) -> Period:
    """Return the span that is asked for. Raises `Refused` (422) for what is no time, or ends before it begins."""
    start, end = moment_of(given, "from"), moment_of(given, "to")
    if start is not None and end is not None and start >= end:
        raise Refused.invalid("/from", "expected a time before that of to")
    return Period(start, end)


def moment_of(given: Mapping[str, str], name: str) -> datetime | None:
    """Return the time in a field, None for an empty one. Raises `Refused` (422)."""
    text = given.get(name, "").strip()
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return max(found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC), EPOCH)
    except (ValueError, OverflowError):
        raise Refused.invalid(f"/{name}", EXPECTED) from None


def field_of(moment: datetime | None) -> str | None:
    """Return a time as a browser's field for it takes it, to the second where it has seconds."""
    if moment is None:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds" if moment.second else "minutes")
