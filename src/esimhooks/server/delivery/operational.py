"""Operational events: what went wrong with deliveries for good is told to the operator, in log, metrics and webhooks.

`tell` runs in the transaction that made it happen and stores events for the operator's own endpoint, which is delivered
to like any other; `note` comes after the commit. What happens to that endpoint itself raises nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from esimhooks.server.domain.account import OPERATOR
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.operational import DeliveryFailed, EndpointDisabled, Happening, operational_event
from esimhooks.server.ingest.publish import publish
from esimhooks.server.observe import metrics
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import endpoints
from esimhooks.server.store.database import Session

log = get_logger("operational")


async def tell(db: Session, happenings: Sequence[Happening], *, now: datetime) -> bool:
    """Store an event for each, where the operator has an endpoint that is enabled; return whether anything is due.

    Needs the transaction that made them happen. `now` is aware UTC.
    """
    told = [one for one in happenings if one.account_id != OPERATOR.account_id]
    if not told or not await endpoints.subscriptions(db, [OPERATOR]):
        return False
    known = await endpoints.told_of(db, {one.endpoint_id for one in told})
    return bool(
        await publish(
            db,
            [
                operational_event(one, known[one.endpoint_id], event_id=new_id(), now=now)
                for one in told
                if one.endpoint_id in known
            ],
        )
    )


def note(happenings: Sequence[Happening]) -> None:
    """Log and count what has happened, once it is committed."""
    for one in happenings:
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
