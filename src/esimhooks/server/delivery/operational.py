"""Operational events: permanent failures of deliveries are reported to the operator, in log, metrics and webhooks.

`emit` runs in the transaction of the failure and stores events for the operator's own endpoint, which is delivered to like
any other; `report` logs and counts them after the commit. What happens to that endpoint itself emits nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from esimhooks.server.domain.account import OPERATOR
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.operational import (
    DeliveryFailed,
    EndpointDisabled,
    OperationalEvent,
    ProviderDoubt,
    doubt_event,
    operational_event,
)
from esimhooks.server.ingest.fan_out import publish
from esimhooks.server.observe import metrics
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import endpoints
from esimhooks.server.store.database import Session

log = get_logger("operational")


async def emit(db: Session, events: Sequence[OperationalEvent], *, now: datetime) -> bool:
    """Store each for the operator's endpoint, where there is an enabled one; return whether any delivery is due.

    Needs the transaction of the failure. `now` is aware UTC.
    """
    reported = [one for one in events if one.account_id != OPERATOR.account_id]
    if not reported or not await endpoints.subscriptions(db, [OPERATOR]):
        return False
    known = await endpoints.described(db, {one.endpoint_id for one in reported})
    return bool(
        await publish(
            db,
            [
                operational_event(one, known[one.endpoint_id], event_id=new_id(), now=now)
                for one in reported
                if one.endpoint_id in known
            ],
        )
    )


async def emit_doubts(db: Session, doubts: Sequence[ProviderDoubt], *, now: datetime) -> bool:
    """Store an event for each doubt about a provider, as `emit`; and log it."""
    for one in doubts:
        log.warning("provider.doubt", provider=one.provider, field=one.field, detail=one.detail)
    if not doubts or not await endpoints.subscriptions(db, [OPERATOR]):
        return False
    return bool(await publish(db, [doubt_event(one, event_id=new_id(), now=now) for one in doubts]))


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
            case DeliveryFailed():
                metrics.finished("failed")
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
