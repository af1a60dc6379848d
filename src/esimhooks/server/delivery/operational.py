"""Operational events: permanent failures of deliveries are reported to the operator, in log, metrics and webhooks.

`emit` runs in the transaction of the failure and stores events for the operator's own endpoint, which is delivered to like
any other; `report` logs and counts them after the commit. What happens to that endpoint itself emits nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID

from esimhooks.server.domain.account import OPERATOR
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.endpoint_rules import is_subscribed
from esimhooks.server.domain.event import FOR_MERCHANTS
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.operational import (
    TYPES,
    DeliveryFailed,
    EndpointDescription,
    EndpointDisabled,
    EndpointFailing,
    EndpointRecovered,
    OperationalEvent,
    ProviderDoubt,
    ProviderTrouble,
    doubt_event,
    operational_event,
    trouble_event,
)
from esimhooks.server.ingest.fan_out import publish
from esimhooks.server.observe import metrics
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import endpoints, subscriptions
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.timestamps import timestamp

log = get_logger("operational")


async def emit(db: Session, events: Sequence[OperationalEvent], *, now: datetime) -> bool:
    """Store each for the operator's endpoint, where there is an enabled one; return whether any delivery is due.

    Needs the transaction of the failure. `now` is aware UTC.
    """
    reported = [one for one in events if one.account_id != OPERATOR.account_id]
    to_merchants = [one for one in reported if TYPES[type(one)] in FOR_MERCHANTS]
    to_operator = reported if reported and await subscriptions.of_tenants(db, [OPERATOR]) else []
    if not to_operator and not to_merchants:
        return False
    known = await endpoints.describe(db, {one.endpoint_id for one in reported})
    made = [
        operational_event(one, known[one.endpoint_id], event_id=new_id(), now=now)
        for one in to_operator
        if one.endpoint_id in known
    ]
    is_due = bool(await publish(db, made))
    return await _emit_to_merchants(db, to_merchants, known, now=now) or is_due


async def _emit_to_merchants(
    db: Session, events: Sequence[OperationalEvent], known: Mapping[UUID, EndpointDescription], *, now: datetime
) -> bool:
    """Store each for the account's other endpoints that name its type, where there are any."""
    tenants = {
        one.endpoint_id: Tenant(one.account_id, known[one.endpoint_id].mode)
        for one in events
        if one.endpoint_id in known
    }
    subscribed = await subscriptions.of_tenants(db, set(tenants.values())) if tenants else {}
    is_due = False
    for one in events:
        tenant = tenants.get(one.endpoint_id)
        others = (
            [
                other
                for other in subscribed.get(tenant, [])
                if other.endpoint_id != one.endpoint_id and is_subscribed(other.event_types, TYPES[type(one)])
            ]
            if tenant
            else []
        )
        if tenant and others:
            event = operational_event(one, known[one.endpoint_id], event_id=new_id(), now=now, tenant=tenant)
            is_due = bool(await publish(db, [event], but_not=one.endpoint_id)) or is_due
    return is_due


async def emit_doubts(db: Session, doubts: Sequence[ProviderDoubt], *, now: datetime) -> bool:
    """Store an event for each doubt about a provider, as `emit`; and log it."""
    for one in doubts:
        log.warning("provider.doubt", provider=one.provider, field=one.field, detail=one.detail)
    if not doubts or not await subscriptions.of_tenants(db, [OPERATOR]):
        return False
    return bool(await publish(db, [doubt_event(one, event_id=new_id(), now=now) for one in doubts]))


async def emit_troubles(db: Session, troubles: Sequence[ProviderTrouble], *, now: datetime) -> bool:
    """Store an event for each trouble with a provider, as `emit`; and log it."""
    for one in troubles:
        log.warning(one.kind.value, provider=one.provider, since=timestamp(one.since), detail=one.detail)
    if not troubles or not await subscriptions.of_tenants(db, [OPERATOR]):
        return False
    return bool(await publish(db, [trouble_event(one, event_id=new_id(), now=now) for one in troubles]))


def report(events: Sequence[OperationalEvent]) -> None:
    """Log and count them, once they are committed."""
    for one in events:
        match one:
            case EndpointDisabled():
                metrics.endpoint_disabled(one.reason)
                log.warning(
                    "endpoint.disabled",
                    account_id=text_of(Prefix.ACCOUNT, one.account_id),
                    endpoint_id=text_of(Prefix.ENDPOINT, one.endpoint_id),
                    reason=one.reason.value,
                )
            case EndpointFailing() | EndpointRecovered():
                log.warning(
                    TYPES[type(one)].value,
                    account_id=text_of(Prefix.ACCOUNT, one.account_id),
                    endpoint_id=text_of(Prefix.ENDPOINT, one.endpoint_id),
                )
            case DeliveryFailed():
                metrics.delivery_finished("failed")
                log.warning(
                    "delivery.failed",
                    account_id=text_of(Prefix.ACCOUNT, one.account_id),
                    endpoint_id=text_of(Prefix.ENDPOINT, one.endpoint_id),
                    delivery_id=text_of(Prefix.DELIVERY, one.delivery_id),
                    event_type=one.event_type,
                    attempts=one.attempts,
                    outcome=one.outcome.value,
                    error=one.error,
                )
            case _:
                assert_never(one)
