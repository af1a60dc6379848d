"""Statistics of the overview: a tenant (or all, for operators) and a span of time in, one consistent look out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.notification import JournalEntry
from esimhooks.server.domain.stats import BucketCount, Overview
from esimhooks.server.store import deliveries, events, health, journal_lists, stats
from esimhooks.server.store.database import Session

SPANS = 48
LATEST = 8
FIRST_UNHEALTHY = 20
"""How many endpoints that are not healthy the first page names, unless it is to name up to `MAX_UNHEALTHY`."""
MAX_UNHEALTHY = 500
MAX_EVENTS = 60
"""Events and notifications of one eSIM's timeline; older ones are in the lists."""


async def overview(
    db: Session, tenant: Tenant | None, *, span: timedelta, now: datetime, max_unhealthy: int = FIRST_UNHEALTHY
) -> Overview:
    """Return the figures of the last `span`; of the whole installation without a tenant, for operators."""
    edges = stats.edges_of(now, width=span / SPANS, number=SPANS)
    ids = [first_id_of(edge) for edge in edges]
    async with db.snapshot():
        by_time = await stats.deliveries_by_time(db, tenant, ids)
        counted = sum(one.number for one in by_time)
        unhealthy = await health.unhealthy(db, tenant, now=now, limit=max_unhealthy + 1)
        return Overview(
            edges=edges,
            events=await stats.events_by_time(db, tenant, ids),
            deliveries=by_time,
            times_s=await stats.delivery_times(db, tenant, ids[0]),
            due=await stats.due(db, tenant),
            unhealthy=unhealthy[:max_unhealthy],
            more_unhealthy=len(unhealthy) > max_unhealthy,
            given_up=await stats.latest_failures(db, tenant, limit=LATEST),
            only_newest=counted if counted >= stats.MAX_COUNTED else None,
        )


async def endpoint_over_time(
    db: Session, tenant: Tenant, endpoint_id: UUID, *, span: timedelta, now: datetime
) -> tuple[Sequence[datetime], Sequence[BucketCount]]:
    """Return the beginnings of equal parts of the last `span`, and what became of the endpoint's deliveries in each."""
    edges = stats.edges_of(now, width=span / SPANS, number=SPANS)
    ids = [first_id_of(edge) for edge in edges]
    return edges, await stats.deliveries_by_time(db, tenant, ids, endpoint_id=endpoint_id)


async def timeline_of(
    db: Session, tenant: Tenant, esim_id: UUID
) -> tuple[Sequence[Event | Unreadable], Sequence[Delivery], Sequence[JournalEntry | Unreadable]]:
    """Return the newest events of the tenant's eSIM, their deliveries, and the notifications about it."""
    async with db.snapshot():
        raised = (await events.page(db, tenant, EventFilter(esim_id=esim_id), before=None, limit=MAX_EVENTS)).rows
        sent = await deliveries.of_events(db, tenant, [event.id for event in raised])
        return raised, sent, await journal_lists.about(db, esim_ids=[esim_id], limit=MAX_EVENTS)
