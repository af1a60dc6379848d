"""Publish: events become deliveries, one for every endpoint that wants them.

Runs inside the transaction that made the events, so an event never stands without its deliveries.
"""

from collections.abc import Sequence

from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.endpoint import Endpoint, Ordering
from esimhooks.server.domain.endpoint_rules import wants
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import new_id
from esimhooks.server.observe import metrics
from esimhooks.server.store import deliveries, endpoints, events, queue
from esimhooks.server.store.database import Session


async def publish(db: Session, made: Sequence[Event]) -> list[Delivery]:
    """Store events and a pending delivery for each endpoint that is enabled, of the same tenant and subscribed."""
    if not made:
        return []
    await events.insert(db, made)
    metrics.raised([event.type for event in made])
    subscriptions = await endpoints.subscriptions(db, {event.tenant for event in made})
    wanted = [
        Delivery(
            id=new_id(),
            tenant=event.tenant,
            event_id=event.id,
            event_type=event.type,
            esim_id=event.esim_id,
            endpoint_id=subscription.endpoint_id,
            ordered=subscription.ordering is Ordering.ESIM and event.esim_id is not None,
        )
        for event in made
        for subscription in subscriptions.get(event.tenant, [])
        if wants(subscription.event_types, event.type)
    ]
    if wanted:
        await deliveries.insert(db, wanted)
        await queue.enqueue(db, wanted)
    return wanted


async def publish_to(db: Session, event: Event, endpoint: Endpoint) -> Delivery:
    """Store an event for one endpoint alone, whatever that subscribed to; return its pending delivery."""
    await events.insert(db, [event])
    metrics.raised([event.type])
    return await deliver_to(db, event, endpoint)


async def deliver_to(db: Session, event: Event, endpoint: Endpoint) -> Delivery:
    """Make a pending delivery of an event that stands for an endpoint that has none of it."""
    delivery = Delivery(
        id=new_id(),
        tenant=event.tenant,
        event_id=event.id,
        event_type=event.type,
        esim_id=event.esim_id,
        endpoint_id=endpoint.id,
        ordered=endpoint.ordering is Ordering.ESIM and event.esim_id is not None,
    )
    await deliveries.insert(db, [delivery])
    await queue.enqueue(db, [delivery])
    return delivery
