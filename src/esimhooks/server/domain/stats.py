"""Statistics of the overview and of one endpoint: counts over time, what is due, how the lanes stand. Times are aware UTC."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.delivery import Delivery, DeliveryStatus
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.health import EndpointHealth, LaneFacts

RETRYING = "retrying"
"""Stands among the statuses for pending deliveries whose last attempt failed."""


class BucketCount(Struct, frozen=True):
    """How many rows lie in a span of time, counted from 0; `status` is empty where rows have none."""

    bucket: int
    status: str
    number: int


class Due(Struct, frozen=True):
    """What should have been attempted by now, and since when. `more`: there are more than were counted."""

    number: int
    oldest: datetime | None
    more: bool = False


class GivenUp(Struct, frozen=True, kw_only=True):
    """A delivery that failed or was stopped; `endpoint` is its name or URL, None where it is deleted since."""

    delivery: Delivery
    endpoint: str | None
    account_name: str | None


class UnhealthyEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint that is not healthy, and its owner."""

    endpoint_id: UUID
    tenant: Tenant
    account_name: str
    url: str
    name: str | None
    health: EndpointHealth


class Overview(Struct, frozen=True, kw_only=True):
    """The overview at one time. `times_s` are p50, p95 and p99 from making a delivery to its arrival."""

    edges: Sequence[datetime]
    events: Sequence[BucketCount]
    deliveries: Sequence[BucketCount]
    times_s: tuple[float, ...] | None
    due: Due
    unhealthy: Sequence[UnhealthyEndpoint]
    """Endpoints that are not healthy, the worst first."""
    more_unhealthy: bool
    """Whether there are more than these."""
    given_up: Sequence[GivenUp]
    only_newest: int | None
    """How many of the newest deliveries were counted, None where there were no more."""


class EndpointStats(Struct, frozen=True, kw_only=True):
    """Deliveries made since a time, by status; `times_s` are p50, p95, p99 from making one to its arrival."""

    since: datetime
    deliveries: Mapping[DeliveryStatus, int]
    attempts: int
    times_s: tuple[float, ...] | None
    bounded: bool
    """Whether there were more than are counted, so that the figures are of the newest."""
    lane: LaneFacts


class FirstSteps(Struct, frozen=True, kw_only=True):
    """How far a tenant is on its first day. `endpoint_id` is its first endpoint."""

    endpoint_id: UUID | None
    raised: bool
    arrived: bool
