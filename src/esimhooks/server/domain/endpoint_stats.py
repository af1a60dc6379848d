"""How one endpoint has done in a span of time, and how its lane stands now. Times are aware UTC."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from esimhooks.server.domain.delivery import DeliveryStatus


class LaneState(Struct, frozen=True, kw_only=True):
    """What an endpoint's lane holds, and its breaker.

    `allowed` is how many may be in flight while the endpoint recovers, None where nothing holds it back.
    """

    pending: int
    oldest_due_at: datetime | None
    failures_in_a_row: int
    failing_since: datetime | None
    allowed: int | None
    rests_until: datetime | None


class EndpointStats(Struct, frozen=True, kw_only=True):
    """Deliveries made since a moment, by status; `times_s` are p50, p95, p99 from making one to its arrival."""

    since: datetime
    deliveries: Mapping[DeliveryStatus, int]
    attempts: int
    times_s: tuple[float, ...] | None
    bounded: bool
    """Whether there were more than are counted, so that the figures are of the newest."""
    lane: LaneState
