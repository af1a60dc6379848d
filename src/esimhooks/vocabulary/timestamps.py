"""Timestamps on the wire: ISO 8601, UTC, milliseconds, `Z` (events guide, "Timestamp Format")."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A timestamp as it stands in a payload, e.g. `2026-11-23T10:15:30.123Z`."""


def timestamp(time: datetime) -> Timestamp:
    """Return an aware datetime as its wire form. Anything below a millisecond is cut off."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def timestamp_or_none(time: datetime | None) -> Timestamp | None:
    """Return an aware datetime as its wire form, or None for None."""
    return None if time is None else timestamp(time)
