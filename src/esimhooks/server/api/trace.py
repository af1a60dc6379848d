"""Trace: `GET /v1/trace/{id}` shows the whole chain around any id. Bodies and credentials are left where they are."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.auth import Principal, tenant_of
from esimhooks.server.api.notifications import NotificationView, notification_view
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.delivery import Attempt, DeliveryStatus, OutcomeClass
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.find import Trace, TracedDelivery
from esimhooks.server.domain.ids import Prefix, made_at, text_of, text_or_none
from esimhooks.server.manage import find as manage_find
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.envelope import TopUp
from esimhooks.vocabulary.statuses import EsimStatus, Mode
from esimhooks.vocabulary.timestamps import timestamp, timestamp_or_none

Account = Annotated[str, Meta(description="operators: only in this account, else wherever the id is")] | None


class TracedEsimView(Struct, rename="camel", kw_only=True):
    """An eSIM as it is now."""

    id: str
    esim_status: EsimStatus | None
    iccid: str | None
    transaction_id: str
    order_no: str | None
    order: str | None
    replaces: str | None
    replaced_by: str | None


class TracedEventView(Struct, rename="camel", kw_only=True):
    """An event: what it says of statuses, plan and top-up, and the names of the fields that changed.

    `traceparent` is W3C Trace Context.
    """

    id: str
    type: str
    esim: str | None
    notification: str | None
    previous_status: EsimStatus | None
    new_status: EsimStatus | None
    changed: list[str]
    reason: str | None
    plan_id: str | None
    top_up: TopUp | None
    happened_at: str
    created_at: str
    traceparent: str | None


class TracedAttemptView(Struct, rename="camel", kw_only=True):
    """One HTTP exchange; what the receiver answered stands in the delivery."""

    id: str
    number: int
    started_at: str
    duration_ms: int
    outcome: OutcomeClass
    status_code: int | None
    error: str | None


class TracedDeliveryView(Struct, rename="camel", kw_only=True):
    """A delivery of an event."""

    id: str
    event: str
    endpoint: str
    status: DeliveryStatus
    attempt_count: int
    next_attempt_at: str | None
    finished_at: str | None
    attempts: list[TracedAttemptView]


class TraceView(Struct, rename="camel", kw_only=True, omit_defaults=True):
    """The chain around an id, each part newest first; each row names the one before it.

    `account` is null for a notification that concerns nobody yet; `truncated` tells that there is more than is shown.
    `unreadable` stands there only where rows cannot be decrypted: it names them, and the parts leave them out.
    """

    id: str
    account: str | None
    mode: Mode | None
    notifications: list[NotificationView]
    esims: list[TracedEsimView]
    events: list[TracedEventView]
    deliveries: list[TracedDeliveryView]
    truncated: bool
    unreadable: list[str] = []


routes = Routes(BY_KEY)


@routes.get("/v1/trace/{any_id}")
async def show_trace(
    db: Session, caller: Principal, any_id: str, account: Account = None, mode: Mode | None = None
) -> TraceView:
    """Show what led to a row and what came of it: notification, eSIM, events, deliveries, attempts.

    The id is that of a notification, eSIM, event, delivery, attempt, order or endpoint, or a trace id of 32 hex digits.
    """
    whoever = caller.tenant is None and account is None
    tenant = None if whoever else tenant_of(caller, account=account, mode=mode)
    return _view(any_id, await manage_find.trace(db, any_id, tenant, operator=caller.tenant is None))


def _view(any_id: str, trace: Trace) -> TraceView:
    return TraceView(
        id=any_id,
        account=None if trace.tenant is None else text_of(Prefix.ACCOUNT, trace.tenant.account_id),
        mode=None if trace.tenant is None else trace.tenant.mode,
        notifications=[notification_view(entry) for entry in trace.notifications],
        esims=[_esim(esim) for esim in trace.esims],
        events=[_event(event) for event in trace.events],
        deliveries=[_delivery(one) for one in trace.deliveries],
        truncated=trace.truncated,
        unreadable=[row.name for row in trace.unreadable],
    )


def _esim(esim: Esim) -> TracedEsimView:
    return TracedEsimView(
        id=text_of(Prefix.ESIM, esim.id),
        esim_status=esim.status,
        iccid=esim.iccid,
        transaction_id=esim.transaction_id,
        order_no=esim.order_no,
        order=text_or_none(Prefix.ORDER, esim.order_id),
        replaces=text_or_none(Prefix.ESIM, esim.further.replaces),
        replaced_by=text_or_none(Prefix.ESIM, esim.further.replaced_by),
    )


def _event(event: Event) -> TracedEventView:
    told = msgspec.json.decode(event.body, type=_Told)
    return TracedEventView(
        id=text_of(Prefix.EVENT, event.id),
        type=event.type.value,
        esim=text_or_none(Prefix.ESIM, event.esim_id),
        notification=text_or_none(Prefix.NOTIFICATION, event.notification_id),
        previous_status=told.previous_status,
        new_status=told.new_status,
        changed=list(told.changes),
        reason=told.reason,
        plan_id=told.plan_id,
        top_up=told.top_up,
        happened_at=timestamp(event.happened_at),
        created_at=timestamp(made_at(event.id)),
        traceparent=event.traceparent,
    )


class _Told(Struct, rename="camel"):
    """What of a webhook's body says what changed; values may be credentials, and are left there."""

    previous_status: EsimStatus | None = None
    new_status: EsimStatus | None = None
    reason: str | None = None
    plan_id: str | None = None
    top_up: TopUp | None = None
    changes: dict[str, msgspec.Raw] = {}


def _delivery(traced: TracedDelivery) -> TracedDeliveryView:
    delivery = traced.delivery
    return TracedDeliveryView(
        id=text_of(Prefix.DELIVERY, delivery.id),
        event=text_of(Prefix.EVENT, delivery.event_id),
        endpoint=text_of(Prefix.ENDPOINT, delivery.endpoint_id),
        status=delivery.status,
        attempt_count=delivery.attempts,
        next_attempt_at=timestamp_or_none(delivery.next_attempt_at),
        finished_at=timestamp_or_none(delivery.finished_at),
        attempts=_attempts(traced.attempts),
    )


def _attempts(attempts: Sequence[Attempt]) -> list[TracedAttemptView]:
    return [
        TracedAttemptView(
            id=text_of(Prefix.ATTEMPT, attempt.id),
            number=attempt.number,
            started_at=timestamp(attempt.started_at),
            duration_ms=attempt.duration_ms,
            outcome=attempt.outcome,
            status_code=attempt.status_code,
            error=attempt.error,
        )
        for attempt in attempts
    ]
