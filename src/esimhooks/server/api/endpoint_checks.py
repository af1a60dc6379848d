"""Whether an endpoint works: `/test` sends it an example, `/stats` says how it has done, `/test-filter` tries a filter."""

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import EndpointId
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.delivery import DeliveryStatus
from esimhooks.server.domain.endpoint import FilterText, Tenant
from esimhooks.server.domain.endpoint_rules import EventBody, is_selected, require_filter
from esimhooks.server.domain.event import EventFilter
from esimhooks.server.domain.health import LaneFacts
from esimhooks.server.domain.ids import Prefix, text_of, text_or_none
from esimhooks.server.domain.lists import found, partition
from esimhooks.server.domain.stats import EndpointStats
from esimhooks.server.domain.validation import Text
from esimhooks.server.manage import deliveries as manage_deliveries
from esimhooks.server.manage import endpoints as manage_endpoints
from esimhooks.server.store import events, stats
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_at
from esimhooks.vocabulary.timestamps import timestamp, timestamp_or_none

Hours = Annotated[int, Meta(ge=1, le=168, description="hours to look back, 1-168")]


class EndpointTestBody(Struct, forbid_unknown_fields=True, rename="camel"):
    """The event type whose example to send."""

    event: EventType


class EndpointTestView(Struct, rename="camel"):
    """The event, raised for this endpoint only and marked `mode: test`, and its delivery."""

    event: str
    delivery: str


class LaneView(Struct, rename="camel", kw_only=True):
    """An endpoint's queue. `allowed` is how many requests may be in flight while it recovers."""

    pending: int
    oldest_due_at: str | None
    failures_in_a_row: int
    failing_since: str | None
    allowed: int | None
    rests_until: str | None


class StatsView(Struct, rename="camel", kw_only=True):
    """Deliveries created since `since`, by status.

    Times run from the creation of a delivery to its arrival. If `bounded`, only the newest deliveries were counted.
    """

    since: str
    deliveries: dict[DeliveryStatus, int]
    attempts: int
    arrival_ms: dict[str, int] | None
    bounded: bool
    lane: LaneView


class SentNowView(Struct, rename="camel"):
    """How many deliveries are attempted now."""

    deliveries: int


routes = Routes(BY_KEY)


@routes.post("/v1/endpoints/{endpoint_id}/send-now", status=202)
async def send_now(db: Session, actor: Actor, tenant: Tenant, endpoint_id: EndpointId) -> SentNowView:
    """Attempt all pending deliveries now, after a receiver was fixed. Up to 10 000 at a time."""
    return SentNowView(await manage_deliveries.send_waiting_now(db, actor, tenant, endpoint_id))


@routes.post("/v1/endpoints/{endpoint_id}/test", example={"event": "esim.activated"}, status=202)
async def send_example(
    db: Session, actor: Actor, now: datetime, tenant: Tenant, endpoint_id: EndpointId, data: EndpointTestBody
) -> EndpointTestView:
    """Send an example event to an endpoint."""
    event, delivery = await manage_endpoints.send_example(
        db, actor, tenant, endpoint_id, example_at(data.event, now), now=now
    )
    return EndpointTestView(text_of(Prefix.EVENT, event.id), text_of(Prefix.DELIVERY, delivery.id))


@routes.get("/v1/endpoints/{endpoint_id}/stats")
async def show_stats(
    db: Session, now: datetime, tenant: Tenant, endpoint_id: EndpointId, hours: Hours = 24
) -> StatsView:
    """Show an endpoint's statistics of the last hours."""
    since = now - timedelta(hours=hours)
    return _view(found(await stats.stats_of(db, tenant, endpoint_id, since=since), "endpoint"))


def _view(stats: EndpointStats) -> StatsView:
    arrival_ms = None if stats.times_s is None else _percentiles(stats.times_s)
    return view_of(StatsView, stats, arrival_ms=arrival_ms, lane=_lane(stats.lane))


def _percentiles(times_s: tuple[float, ...]) -> dict[str, int]:
    return {name: round(seconds * 1000) for name, seconds in zip(("p50", "p95", "p99"), times_s, strict=True)}


def _lane(lane: LaneFacts) -> LaneView:
    return LaneView(
        pending=lane.waiting,
        oldest_due_at=timestamp_or_none(lane.next_attempt_at),
        failures_in_a_row=lane.failures,
        failing_since=timestamp_or_none(lane.failing_since),
        allowed=lane.allowed,
        rests_until=timestamp_or_none(lane.cooldown_until),
    )


MAX_EVENTS = 100


class FilterTestBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A filter and event types to try on the `last` most recent events."""

    filter: FilterText
    event_types: Annotated[list[Text], Meta(min_length=1, max_length=20)] | None = None
    last: Annotated[int, Meta(ge=1, le=MAX_EVENTS)] = MAX_EVENTS


class FilteredEventView(Struct, rename="camel", kw_only=True):
    """One event, and whether the filter lets it pass."""

    id: str
    event: str
    esim: str | None
    timestamp: str
    passes: bool


class FilterTestView(Struct, rename="camel", kw_only=True):
    """How many of the most recent events pass, and each of them, newest first."""

    tested: int
    passing: int
    events: list[FilteredEventView]


@routes.post(
    "/v1/endpoints/test-filter",
    example={"filter": "newStatus == 'EXPIRED' || contains(thresholds, `90`)"},
    status=200,
    only_reads=True,
)
async def test_filter(db: Session, tenant: Tenant, data: FilterTestBody) -> FilterTestView:
    """Try a filter on the account's most recent events; nothing is sent or changed."""
    require_filter(data.filter)
    rows = (await events.page(db, tenant, EventFilter(), before=None, limit=data.last)).rows
    readable, _ = partition(rows)
    views = [
        FilteredEventView(
            id=text_of(Prefix.EVENT, one.id),
            event=one.type.value,
            esim=text_or_none(Prefix.ESIM, one.esim_id),
            timestamp=timestamp(one.happened_at),
            passes=is_selected(data.event_types, data.filter, one.type, EventBody(one.body)),
        )
        for one in readable
    ]
    return FilterTestView(tested=len(views), passing=sum(one.passes for one in views), events=views)
