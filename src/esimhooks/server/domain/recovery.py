"""A recovery: what did not arrive at an endpoint in a span of time is sent again, in the background."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant


class Missed(StrEnum):
    """What became of an event at an endpoint that a recovery sends it to again."""

    DELIVERED = "delivered"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    NEVER = "never"
    """It has no delivery there: the endpoint was disabled or not there when it was raised."""


NOT_ARRIVED = (Missed.FAILED, Missed.STOPPED, Missed.NEVER)


class Recovery(Struct, frozen=True, kw_only=True):
    """One recovery. `first_event` and `last_event` bound the ids of the events, the last not included.

    Events up to `reached` are done: `seen` of them were looked at, `sent` of them are sent again. `total` is what was to
    be sent when it began.
    """

    id: UUID
    tenant: Tenant
    endpoint_id: UUID
    first_event: UUID
    last_event: UUID
    statuses: tuple[Missed, ...]
    total: int
    reached: UUID | None = None
    seen: int = 0
    sent: int = 0
    created_at: datetime
    finished_at: datetime | None = None


class Candidates(Struct, frozen=True):
    """How many events there are for a recovery, by what became of them."""

    by_status: Mapping[Missed, int]

    def of(self, statuses: tuple[Missed, ...]) -> int:
        """Return how many have one of the statuses."""
        return sum(self.by_status.get(status, 0) for status in statuses)
