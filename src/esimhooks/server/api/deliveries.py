"""Deliveries with their attempts: `/v1/deliveries`."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import DeliveryId, EndpointId, EsimId, EventId, From, To
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.delivery import Attempt, Delivery, DeliveryFilter, DeliveryStatus, OutcomeClass
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, made_at, parse_id, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.validation import Text
from esimhooks.server.manage import deliveries as manage_deliveries
from esimhooks.server.store import deliveries
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.timestamps import timestamp


class DeliveryView(Struct, rename="camel", kw_only=True):
    """A delivery.

    `nextAttemptAt` is set while it is pending, unless it waits behind another of its eSIM. `outcome` and `statusCode`
    are those of the last attempt, null before the first.
    """

    id: str
    event: str
    event_type: str
    esim: str | None
    endpoint: str
    status: DeliveryStatus
    attempt_count: int
    outcome: OutcomeClass | None
    status_code: int | None
    next_attempt_at: str | None
    created_at: str
    finished_at: str | None


Pair = Annotated[list[str], Meta(min_length=2, max_length=2)]
"""A name and a value: a list, as generators of clients do not know what a tuple is."""


class AttemptView(Struct, rename="camel", kw_only=True, omit_defaults=True):
    """One HTTP exchange, with the receiver's answer as text.

    `unreadable` is true if the answer cannot be decrypted, and absent otherwise.
    """

    id: str
    number: int
    started_at: str
    duration_ms: int
    outcome: OutcomeClass
    status_code: int | None
    error: str | None
    response_headers: list[Pair]
    response_body: str
    dialled: str | None
    unreadable: bool = False


class DeliveryWithAttempts(DeliveryView, rename="camel", kw_only=True):
    """A delivery with all its attempts."""

    attempts: list[AttemptView]


class RetryBody(Struct, forbid_unknown_fields=True, rename="camel"):
    """Deliveries to send again."""

    deliveries: Annotated[list[Text], Meta(min_length=1, max_length=100)]


class RetriedView(Struct, rename="camel"):
    """Deliveries that are sent again, and those that cannot be because they or their endpoints no longer exist."""

    sent: list[str]
    gone: list[str]


StatusCode = Annotated[int, Meta(ge=100, le=999, description="HTTP status of the last answer")]

routes = Routes(BY_KEY)


@routes.get("/v1/deliveries")
async def list_deliveries(
    db: Session,
    tenant: Tenant,
    *,
    endpoint: EndpointId | None = None,
    event: EventId | None = None,
    type_: EventType | None = None,
    esim: EsimId | None = None,
    status: DeliveryStatus | None = None,
    status_code: StatusCode | None = None,
    outcome: OutcomeClass | None = None,
    failed: bool | None = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[DeliveryView]:
    """List deliveries. `failed=true` are those of which any attempt has failed, whatever came of them later."""
    where = DeliveryFilter(
        endpoint_id=endpoint,
        event_id=event,
        event_type=type_,
        esim_id=esim,
        status=status,
        status_code=status_code,
        outcome=outcome,
        failed=failed,
        first_id=from_,
        last_id=to,
    )
    async with db.snapshot():
        rows = (await deliveries.page(db, tenant, where, **window(limit, cursor))).rows
    return listed(rows, limit, _view, lambda delivery: delivery.id)


@routes.post("/v1/deliveries/retry", status=202, example={"deliveries": ["dlv_01jd3v8k5fe8ya3q8r0m2n6x7c"]})
async def retry_all(db: Session, actor: Actor, tenant: Tenant, data: RetryBody) -> RetriedView:
    """Send up to 100 deliveries again, each as `/v1/deliveries/{id}/retry` does."""
    ids = [parse_id(Prefix.DELIVERY, one) for one in data.deliveries]
    sent, gone = await manage_deliveries.send_all_again(db, actor, tenant, ids)
    return RetriedView([text_of(Prefix.DELIVERY, one) for one in sent], [text_of(Prefix.DELIVERY, one) for one in gone])


@routes.get("/v1/deliveries/{delivery_id}")
async def show_delivery(db: Session, tenant: Tenant, delivery_id: DeliveryId) -> DeliveryWithAttempts:
    """Show a delivery with its attempts."""
    async with db.snapshot():
        delivery = found(await deliveries.find(db, tenant, delivery_id), "delivery")
        attempts = [_attempt(one) for one in await deliveries.attempts_of(db, tenant, delivery_id)]
    return view_of(DeliveryWithAttempts, delivery, **_members(delivery), attempts=attempts)


@routes.post("/v1/deliveries/{delivery_id}/retry", status=202)
async def retry(db: Session, actor: Actor, tenant: Tenant, delivery_id: DeliveryId) -> None:
    """Send a delivery again. Its schedule restarts and its history stays. A pending one is attempted now."""
    await manage_deliveries.send_again(db, actor, tenant, delivery_id)


@routes.post("/v1/deliveries/{delivery_id}/cancel", status=200)
async def cancel(db: Session, actor: Actor, now: datetime, tenant: Tenant, delivery_id: DeliveryId) -> DeliveryView:
    """Cancel a pending delivery; it can be sent again later.

    An attempt that is in flight then may still arrive; it is not among the delivery's attempts.
    """
    return _view(await manage_deliveries.cancel(db, actor, tenant, delivery_id, now=now))


def _view(delivery: Delivery) -> DeliveryView:
    return view_of(DeliveryView, delivery, **_members(delivery))


def _members(delivery: Delivery) -> dict[str, object]:
    return {
        "id": Prefix.DELIVERY,
        "event": Prefix.EVENT,
        "esim": Prefix.ESIM,
        "endpoint": Prefix.ENDPOINT,
        "attempt_count": delivery.attempts,
        "created_at": timestamp(made_at(delivery.id)),
    }


def _attempt(attempt: Attempt) -> AttemptView:
    return view_of(
        AttemptView,
        attempt,
        id=Prefix.ATTEMPT,
        response_headers=[list(pair) for pair in attempt.response_headers],
        response_body=attempt.response_body.decode("utf-8", "replace"),
    )
