"""Trace: from any id to the whole chain around it, notification, eSIM, events, deliveries, attempts.

An id and a tenant come in. An operator need not name the tenant: it is then looked up by the id, and from there on
the same reads are made, all for that tenant. What providers sent is shown to operators only.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from msgspec import structs

from esimhooks.server.domain.delivery import Attempt, DeliveryFilter
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.trace import Begin, Trace, TracedDelivery
from esimhooks.server.manage.queries import found
from esimhooks.server.store import deliveries, delivery_lists, endpoints, esims, events, journal, orders, trace
from esimhooks.server.store.database import Database, Session

MOST_NOTIFICATIONS = MOST_ESIMS = MOST_EVENTS = 50
MOST_DELIVERIES = 200
MOST_ATTEMPTS = 1000
TRACE_ID = re.compile(r"[0-9a-f]{32}")
NO_ID = (
    "no id that can be traced: expected that of a notification (ntf_...), eSIM (esim_), event (evt_), delivery (dlv_), "
    "attempt (att_), order (ord_) or endpoint (ep_), or a trace id of 32 hex digits"
)


class Traces:
    """Reads traces. Raises `Refused` (404) for what is not there or not the tenant's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, text: str, tenant: Tenant | None, *, operator: bool) -> Trace:
        """Return the chain around the id; `tenant` None is whoever it belongs to, which only an operator may ask."""
        async with self._database.snapshot() as db:
            if text.startswith(f"{Prefix.NOTIFICATION.value}_"):
                return await _of_notification(db, text, tenant, operator=operator)
            whose = found(tenant or await _owner(db, text), "row")
            return await _chain(db, whose, await _begin(db, whose, text), operator=operator)


async def _of_notification(db: Session, text: str, tenant: Tenant | None, *, operator: bool) -> Trace:
    entry = await journal.find(db, parse_id(Prefix.NOTIFICATION, text)) if operator else None
    present = found(entry, "notification")
    owner = await trace.owner_of_notification(db, present)
    if tenant is not None and owner != tenant:
        raise Refused.not_found("there is no such notification")
    if owner is None:
        return Trace(tenant=None, notifications=[present])
    esim_ids = () if present.esim_id is None else (present.esim_id,)
    return await _chain(db, owner, Begin(esim_ids=esim_ids, notification_id=present.id), operator=True)


def _kind(text: str) -> Prefix:
    head, _, _ = text.rpartition("_")
    if head not in (*trace.TABLES, Prefix.ATTEMPT):
        raise Refused.not_found(NO_ID)
    return Prefix(head)


async def _owner(db: Session, text: str) -> Tenant | None:
    """Return whose row this id names; for operators."""
    if TRACE_ID.fullmatch(text):
        return await trace.owner_of_trace(db, text)
    kind = _kind(text)
    row_id: UUID | None = parse_id(kind, text)
    if kind is Prefix.ATTEMPT and row_id is not None:
        kind, row_id = Prefix.DELIVERY, await trace.delivery_of_attempt(db, row_id)
    return None if row_id is None else await trace.owner_of(db, kind, row_id)


async def _begin(db: Session, tenant: Tenant, text: str) -> Begin:
    """Return where the trace of the tenant's row begins."""
    if TRACE_ID.fullmatch(text):
        ids = await trace.events_in_trace(db, tenant, text, limit=MOST_EVENTS + 1)
        return Begin(event_ids=tuple(found(ids or None, "trace")))
    kind = _kind(text)
    row_id = parse_id(kind, text)
    match kind:
        case Prefix.ESIM:
            return Begin(esim_ids=(found(await esims.find(db, tenant, row_id), "eSIM").id,))
        case Prefix.EVENT:
            return Begin(event_ids=(found(await events.find(db, tenant, row_id), "event").id,))
        case Prefix.ORDER:
            order = await orders.find(db, row_id)
            of_order = await esims.of_order(db, tenant, row_id)
            found(order if order and order.tenant == tenant else None, "order")
            return Begin(esim_ids=tuple(esim.id for esim in of_order))
        case Prefix.ENDPOINT:
            endpoint = found(await endpoints.find(db, tenant, row_id), "endpoint")
            where = DeliveryFilter(endpoint_id=endpoint.id)
            last = await delivery_lists.page(db, tenant, where, before=None, limit=MOST_EVENTS + 1)
            return Begin(event_ids=tuple({one.event_id for one in last.rows}), endpoint_id=endpoint.id)
        case _:
            of_attempt = await trace.delivery_of_attempt(db, row_id) if kind is Prefix.ATTEMPT else row_id
            delivery_id = found(of_attempt, "attempt")
            delivery = found(await deliveries.find(db, tenant, delivery_id), "delivery")
            return Begin(event_ids=(delivery.event_id,), delivery_id=delivery.id)


async def _chain(db: Session, tenant: Tenant, begin: Begin, *, operator: bool) -> Trace:
    raised = await _events(db, tenant, begin)
    told = raised[:MOST_EVENTS]
    esim_ids = {*begin.esim_ids, *(event.esim_id for event in told if event.esim_id is not None)}
    known = await trace.esims_of(db, tenant, list(esim_ids), limit=MOST_ESIMS + 1)
    causes = {event.notification_id for event in told if event.notification_id is not None}
    if begin.notification_id is not None:
        causes.add(begin.notification_id)
    notifications = await trace.notifications_about(
        db,
        ids=list(causes) if operator else [],
        esim_ids=list(begin.esim_ids) if operator and begin.notification_id is None else [],
        limit=MOST_NOTIFICATIONS + 1,
    )
    chain = Trace(
        tenant=tenant,
        notifications=notifications[:MOST_NOTIFICATIONS],
        esims=known[:MOST_ESIMS],
        events=told if operator else [structs.replace(event, notification_id=None) for event in told],
        truncated=len(raised) > len(told)
        or len(known) > MOST_ESIMS
        or len(notifications) > MOST_NOTIFICATIONS
        or len(begin.event_ids or ()) > MOST_EVENTS,
    )
    return await _with_deliveries(db, tenant, begin, chain)


async def _events(db: Session, tenant: Tenant, begin: Begin) -> list[Event]:
    if begin.notification_id is not None:
        return await trace.events_of_notification(db, tenant, begin.notification_id, limit=MOST_EVENTS + 1)
    if begin.event_ids is not None:
        return await trace.events_with_ids(db, tenant, begin.event_ids, limit=MOST_EVENTS + 1)
    return await trace.events_of_esims(db, tenant, begin.esim_ids, limit=MOST_EVENTS + 1)


async def _with_deliveries(db: Session, tenant: Tenant, begin: Begin, chain: Trace) -> Trace:
    made = [
        one
        for one in await deliveries.of_events(db, tenant, [event.id for event in chain.events])
        if begin.delivery_id in (None, one.id) and begin.endpoint_id in (None, one.endpoint_id)
    ]
    shown = made[:MOST_DELIVERIES]
    attempts = await trace.attempts_of(db, tenant, [one.id for one in shown], limit=MOST_ATTEMPTS + 1)
    by_delivery: dict[UUID, list[Attempt]] = defaultdict(list)
    for delivery_id, attempt in attempts[:MOST_ATTEMPTS]:
        by_delivery[delivery_id].append(attempt)
    traced: Sequence[TracedDelivery] = [TracedDelivery(one, by_delivery[one.id]) for one in shown]
    more = len(made) > MOST_DELIVERIES or len(attempts) > MOST_ATTEMPTS
    return structs.replace(chain, deliveries=traced, truncated=chain.truncated or more)
