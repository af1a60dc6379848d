"""Fan-out: events become deliveries, one for every endpoint that wants them.

For few endpoints within the transaction that made the events. A tenant with many gets its deliveries in steps after the
commit, in the order of its events; the row of a fan-out says how far it is, so a crash loses nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from time import monotonic
from uuid import UUID

from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.endpoint import Endpoint, Ordering, Tenant
from esimhooks.server.domain.endpoint_rules import EventBody, is_selected, is_subscribed
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import new_id
from esimhooks.server.observe import metrics
from esimhooks.server.runtime.for_each import for_each
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store import deliveries, events, fan_outs, queue, subscriptions
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.fan_outs import FanOut
from esimhooks.server.store.subscriptions import Subscription

STEP_DELIVERIES = 100
"""About how many deliveries one step makes, before another tenant has its turn. With 200 a step kept the updates of others
waiting for longer, and an event reached 50 endpoints no sooner (docs/benchmarks.md)."""
MAX_PAUSE_S = 0.1
MAX_TENANTS = 50
IDLE_S = 30.0
"""It is woken when there are any."""


async def publish(db: Session, made: Sequence[Event], *, but_not: UUID | None = None) -> list[Delivery]:
    """Store events and a pending delivery for each endpoint that is enabled, of the same tenant and subscribed.

    `but_not` is an endpoint that gets none.
    """
    if not made:
        return []
    await events.insert(db, made)
    metrics.events_emitted([event.type for event in made])
    subscribed = await subscriptions.of_tenants(db, {event.tenant for event in made})
    wanted = [
        delivery
        for event in made
        for delivery in wanted_deliveries(event, subscribed.get(event.tenant, []))
        if delivery.endpoint_id != but_not
    ]
    await _store(db, wanted)
    return wanted


async def publish_to(db: Session, event: Event, endpoint: Endpoint) -> Delivery:
    """Store an event for one endpoint alone, whatever that subscribed to; return its pending delivery."""
    await events.insert(db, [event])
    metrics.events_emitted([event.type])
    return await deliver_to(db, event, endpoint)


async def deliver_to(db: Session, event: Event, endpoint: Endpoint) -> Delivery:
    """Make a pending delivery of an event that stands for an endpoint that has none of it."""
    subscription = Subscription(endpoint.id, None, endpoint.ordering)
    delivery = delivery_to(subscription, event.tenant, FanOut.of(event))
    await _store(db, [delivery])
    return delivery


class FanOuts:
    """Makes the deliveries of events that have been committed without them. `due` is rung when there are any."""

    def __init__(self, database: Database, *, due: Wake) -> None:
        self._database = database
        self._due = due
        self._after: Tenant | None = None
        self._progressed = False

    async def process_due(self) -> float:
        """One step for each of the next tenants that have events to fan out; the work of a loop."""
        began = monotonic()
        async with self._database.session() as db:
            tenants = await fan_outs.tenants(db, after=self._after, limit=MAX_TENANTS)

        async def step(tenant: Tenant) -> None:
            if await self._step(tenant):
                self._progressed = True

        await for_each("fan_out", tenants, step, row_id=lambda tenant: tenant.account_id)
        self._after = tenants[-1] if len(tenants) == MAX_TENANTS else None
        pause_s = min(MAX_PAUSE_S, monotonic() - began)  # half of the time is for what else this process does
        if self._after is not None:
            return pause_s
        progressed, self._progressed = self._progressed, False
        return pause_s if progressed else IDLE_S  # steps that fail, or are another node's, are not tried without end

    async def _step(self, tenant: Tenant) -> bool:
        """Make the next deliveries of the tenant; return whether there were any events for this node."""
        async with self._database.transaction() as db:
            waiting = await fan_outs.claim(db, tenant, limit=STEP_DELIVERIES)
            if not waiting:
                return False
            reached = waiting[0].reached
            found = await subscriptions.page_after(
                db, tenant, reached, enabled_at=_oldest(waiting), limit=STEP_DELIVERIES
            )
            bodies = await _bodies(db, waiting) if any(one.filter is not None for one in found) else {}
            wanted: list[Delivery] = []
            for event in waiting:
                body = bodies.get(event.event_id)
                wanted += [
                    delivery_to(one, tenant, event) for one in found if _is_open_to(one, event) and _passes(one, body)
                ]
                if len(found) == STEP_DELIVERIES:
                    await fan_outs.advance(db, event.event_id, reached=found[-1].endpoint_id)
                    break
                await fan_outs.finish(db, event.event_id)
                if reached is not None or len(wanted) + len(found) > STEP_DELIVERIES:
                    break
            await _store(db, wanted)
        if wanted:
            self._due.notify()
        return True


def _oldest(waiting: Sequence[FanOut]) -> datetime | None:
    return min((event.created_at for event in waiting if event.created_at is not None), default=None)


def _is_open_to(subscription: Subscription, event: FanOut) -> bool:
    """Whether the endpoint wants the event, and was there and enabled when it came: by the database's clock."""
    if event.created_at is not None:
        if subscription.stored_at is not None and subscription.stored_at > event.created_at:
            return False
        if subscription.disabled_at is not None and subscription.disabled_at <= event.created_at:
            return False
    return is_subscribed(subscription.event_types, event.event_type)


async def _bodies(db: Session, waiting: Sequence[FanOut]) -> dict[UUID, EventBody]:
    contents = await events.contents(db, [event.event_id for event in waiting])
    return {event_id: EventBody(content.body) for event_id, content in contents.items()}


def _passes(subscription: Subscription, body: EventBody | None) -> bool:
    """Whether the endpoint's filter lets the event through; one whose body cannot be decrypted is let through."""
    return body is None or body.passes(subscription.filter)


def wanted_deliveries(event: Event, subscriptions: Iterable[Subscription]) -> list[Delivery]:
    """Return a new delivery for each endpoint that wants the event."""
    body, started = EventBody(event.body), FanOut.of(event)
    return [
        delivery_to(one, event.tenant, started)
        for one in subscriptions
        if is_selected(one.event_types, one.filter, event.type, body)
    ]


def delivery_to(subscription: Subscription, tenant: Tenant, event: FanOut) -> Delivery:
    """Return a new delivery of the event to an endpoint."""
    return Delivery(
        id=new_id(),
        tenant=tenant,
        event_id=event.event_id,
        event_type=event.event_type,
        esim_id=event.esim_id,
        endpoint_id=subscription.endpoint_id,
        ordered=subscription.ordering is Ordering.ESIM and event.esim_id is not None,
    )


async def _store(db: Session, wanted: Sequence[Delivery]) -> None:
    if wanted:
        await deliveries.insert(db, wanted)
        await queue.enqueue(db, wanted)
