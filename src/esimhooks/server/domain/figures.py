"""Figures of the overview and of one endpoint: counts over time, what is due, how the lanes stand. Times are aware UTC."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.delivery import Delivery, DeliveryStatus
from esimhooks.server.domain.endpoint import Tenant


class Tally(Struct, frozen=True):
    """How many rows lie in a span of time, counted from 0; `status` is empty where rows have none."""

    place: int
    status: str
    number: int


class Due(Struct, frozen=True):
    """What should have been attempted by now, and since when. `more`: there are more than were counted."""

    number: int
    oldest: datetime | None
    more: bool = False


class Lane(Struct, frozen=True, kw_only=True):
    """How one endpoint does. `failures` counts those in a row."""

    endpoint_id: UUID
    tenant: Tenant
    url: str
    name: str | None
    enabled: bool
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None


class Figures(Struct, frozen=True, kw_only=True):
    """The overview at one moment. `times_s` are p50, p95 and p99 from making a delivery to its arrival."""

    edges: Sequence[datetime]
    events: Sequence[Tally]
    deliveries: Sequence[Tally]
    times_s: tuple[float, ...] | None
    due: Due
    failing: Sequence[Lane]
    """Endpoints that fail or were given up, the worst first."""
    more_failing: bool
    """Whether more do than are told."""
    failures: Sequence[Delivery]
    only_newest: int | None
    """How many of the newest deliveries were counted, None where there were no more."""


class LaneFigures(Struct, frozen=True, kw_only=True):
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
    lane: LaneFigures
