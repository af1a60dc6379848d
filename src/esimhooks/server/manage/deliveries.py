"""Deliveries: sent again, to one endpoint or to all who want the event, and cancelled.

Each command runs in the transaction that it is given. Raises `Refused` (404) for what is not the tenant's,
(429) for more than the account's quotas.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from esimhooks.server.domain.account import OPERATOR, Rate
from esimhooks.server.domain.audit import Action, Actor, ChangedField
from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.endpoint import Endpoint, Tenant
from esimhooks.server.domain.endpoint_rules import EVERYTHING, EventBody, is_selected
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.ingest.fan_out import deliver_to
from esimhooks.server.manage.accounts import take_from_quota
from esimhooks.server.store import deliveries, endpoints, events, fan_outs, queue
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session

MAX_SENT_NOW = 10_000
"""In one transaction; what is beyond that is sent as it comes due, or by doing it again."""


async def send_again(db: Session, actor: Actor, tenant: Tenant, delivery_id: UUID) -> None:
    """Start a finished delivery's schedule again; a pending one is attempted now. Raises `Refused` (404, 429)."""
    await take_from_quota(db, tenant, Rate.RESENDS)
    await _send_again(db, actor, tenant, delivery_id)


async def send_all_again(
    db: Session, actor: Actor, tenant: Tenant, delivery_ids: Sequence[UUID]
) -> tuple[Sequence[UUID], Sequence[UUID]]:
    """Send each again as `send_again`, all as one; return those that are sent, and those whose endpoint or row is gone."""
    await take_from_quota(db, tenant, Rate.RESENDS)
    sent, gone = [], []
    for delivery_id in sorted(set(delivery_ids)):  # in one order, so that two callers cannot lock each other out
        try:
            await _send_again(db, actor, tenant, delivery_id)
        except Refused:
            gone.append(delivery_id)
        else:
            sent.append(delivery_id)
    return sent, gone


async def send_waiting_now(db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID) -> int:
    """Attempt what waits for its next attempt at an endpoint now, up to `MAX_SENT_NOW`; return how many.

    Raises `Refused` (404, or 409 where nothing is sent to the endpoint, or 429).
    """
    await take_from_quota(db, tenant, Rate.RESENDS)
    endpoint = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
    if not endpoint.enabled or endpoint.paused:
        raise Refused.conflict(f"the endpoint is {'paused' if endpoint.enabled else 'disabled'}: nothing is sent to it")
    number = await queue.send_all_now(db, endpoint_id, limit=MAX_SENT_NOW)
    changes = {"deliveries": ChangedField(None, number)}
    await record_action(db, actor, Action.ENDPOINT_SEND_NOW, endpoint_id, owner=tenant, changes=changes)
    return number


async def resend(
    db: Session, actor: Actor, tenant: Tenant, event_id: UUID, *, endpoint_id: UUID | None
) -> Sequence[UUID]:
    """Send the event again: to the endpoint named, or to all that are enabled and want it. Returns the deliveries.

    An endpoint that never had a delivery of it gets one; what is pending already is attempted now. Raises `Refused`
    (409) where the one endpoint is disabled, nobody wants it, or its deliveries are still being made.
    """
    await take_from_quota(db, tenant, Rate.RESENDS)
    event = found(await events.find(db, tenant, event_id), "event")
    chosen = await _lock_endpoints(db, event, endpoint_id)
    if await fan_outs.unfinished(db, [event.id]):
        raise Refused.conflict("the event is still being queued for its endpoints: try again in a moment")
    made = {one.endpoint_id: one for one in reversed(await deliveries.of_events(db, tenant, [event.id]))}
    again = [await _send(db, event, endpoint, made.get(endpoint.id)) for endpoint in chosen]
    to = {"deliveries": ChangedField(None, [text_of(Prefix.DELIVERY, one) for one in again])}
    await record_action(db, actor, Action.EVENT_RESEND, event_id, owner=tenant, changes=to)
    return again


async def cancel(db: Session, actor: Actor, tenant: Tenant, delivery_id: UUID, *, now: datetime) -> Delivery:
    """Give a pending delivery up; an attempt that is in flight may still arrive. Raises `Refused` (409)."""
    found(await deliveries.find(db, tenant, delivery_id), "delivery")
    if not await queue.cancel(db, delivery_id, now=now):
        raise Refused.conflict("the delivery is not pending: there is nothing to cancel")
    await record_action(db, actor, Action.DELIVERY_CANCEL, delivery_id, owner=tenant)
    return found(await deliveries.find(db, tenant, delivery_id), "delivery")


async def _send_again(db: Session, actor: Actor, tenant: Tenant, delivery_id: UUID) -> None:
    delivery = found(await deliveries.find(db, tenant, delivery_id), "delivery")
    found(await endpoints.find(db, tenant, delivery.endpoint_id), "endpoint any more for this delivery")
    if not await queue.send_again(db, delivery):
        await queue.send_now(db, delivery_id)
    await record_action(db, actor, Action.DELIVERY_RETRY, delivery_id, owner=tenant)


async def _lock_endpoints(db: Session, event: Event, endpoint_id: UUID | None) -> Sequence[Endpoint]:
    """Lock the endpoints to send to, so that no other transaction makes the same delivery meanwhile."""
    if endpoint_id is None:
        enabled = await endpoints.enabled_to_send(db, event.tenant)
        body = EventBody(event.body)
        wanting = [
            endpoint
            for endpoint in enabled
            if event.endpoint_id in (None, endpoint.id)
            and is_selected(
                endpoint.event_types or (EVERYTHING if event.tenant == OPERATOR else None),
                endpoint.filter,
                event.type,
                body,
            )
        ]
        if not wanting:
            raise Refused.conflict("no enabled endpoint is subscribed to this event: name one, or enable one that is")
        return wanting
    endpoint = found(await endpoints.find_to_change(db, event.tenant, endpoint_id), "endpoint")
    if not endpoint.enabled:
        raise Refused.conflict("the endpoint is disabled: enable it first")
    return [endpoint]


async def _send(db: Session, event: Event, endpoint: Endpoint, made: Delivery | None) -> UUID:
    """Send the event to an endpoint."""
    if made is None:
        return (await deliver_to(db, event, endpoint)).id
    if not await queue.send_again(db, made):
        await queue.send_now(db, made.id)
    return made.id
