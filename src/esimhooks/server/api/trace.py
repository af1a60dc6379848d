"""Trace: `GET /v1/trace/{id}` shows the whole chain around any id. Bodies and credentials are left where they are."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.auth import Principal, tenant_of
from esimhooks.server.api.notifications import NotificationView, notification_view
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.delivery import DeliveryStatus, OutcomeClass
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.find import Trace, TracedDelivery
from esimhooks.server.domain.ids import Prefix, made_at, text_of, text_or_none
from esimhooks.server.manage import find as manage_find
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.envelope import TopUp
from esimhooks.vocabulary.statuses import EsimStatus, Mode
from esimhooks.vocabulary.timestamps import timestamp

Account = Annotated[str, Meta(description="operators: only in this account; default: all accounts")] | None


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
    """An event: statuses, plan, top-up, and the names of changed fields. `traceparent` is W3C Trace Context."""

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
    """One HTTP exchange; the receiver's answer is in the delivery."""

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

    `account` is null for a notification that concerns nobody yet. If `truncated`, there is more than is shown.
    `unreadable`, if present, names rows that cannot be decrypted and are left out.
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
    any_tenant = caller.tenant is None and account is None
    tenant = None if any_tenant else tenant_of(caller, account=account, mode=mode)
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
    return view_of(
        TracedEsimView,
        esim,
        id=Prefix.ESIM,
        esim_status=esim.status,
        order=Prefix.ORDER,
        replaces=text_or_none(Prefix.ESIM, esim.further.replaces),
        replaced_by=text_or_none(Prefix.ESIM, esim.further.replaced_by),
    )


def _event(event: Event) -> TracedEventView:
    body = msgspec.json.decode(event.body, type=_Body)
    return view_of(
        TracedEventView,
        event,
        id=Prefix.EVENT,
        type=event.type.value,
        esim=Prefix.ESIM,
        notification=Prefix.NOTIFICATION,
        previous_status=body.previous_status,
        new_status=body.new_status,
        changed=list(body.changes),
        reason=body.reason,
        plan_id=body.plan_id,
        top_up=body.top_up,
        created_at=timestamp(made_at(event.id)),
    )


class _Body(Struct, rename="camel"):
    """What of a webhook's body says what changed; values may be credentials, and are left there."""

    previous_status: EsimStatus | None = None
    new_status: EsimStatus | None = None
    reason: str | None = None
    plan_id: str | None = None
    top_up: TopUp | None = None
    changes: dict[str, msgspec.Raw] = {}


def _delivery(traced: TracedDelivery) -> TracedDeliveryView:
    return view_of(
        TracedDeliveryView,
        traced.delivery,
        id=Prefix.DELIVERY,
        event=Prefix.EVENT,
        endpoint=Prefix.ENDPOINT,
        attempt_count=traced.delivery.attempts,
        attempts=[view_of(TracedAttemptView, one, id=Prefix.ATTEMPT) for one in traced.attempts],
    )
