"""Finding: filters over long lists, one field that takes any id or number, and the chain around an id.

An operator need not name the tenant: it is then looked up by the id, and from there on the same reads are made, all for
that tenant. What providers sent is shown to operators only. Filters scan a bounded number of rows and say how far they came.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from msgspec import structs

from esimhooks.server.domain.audit import Actor, ActorKind, AuditEntry, AuditFilter
from esimhooks.server.domain.delivery import Attempt, Delivery, DeliveryFilter
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.find import Begin, Hit, Trace, TracedDelivery
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.lists import ScanResult, Unreadable, Window, found, partition
from esimhooks.server.domain.notification import JournalEntry, JournalFilter
from esimhooks.server.store import audit, deliveries, events, find, journal_lists
from esimhooks.server.store.database import Session

MAX_DELIVERIES = 20_000
MAX_EVENTS = 10_000
MAX_NOTIFICATIONS = 20_000
"""How many rows one filter looks at for those that fit; what is older is looked at with the next page."""
MAX_HITS = 25
MAX_ESIMS = 20_000
"""How many of the newest eSIMs are looked at for a part of a number or name."""
MIN_FRAGMENT = 3
MAX_TRACED = 50
"""eSIMs, events and notifications of one trace, each."""
MAX_TRACED_DELIVERIES = 200
MAX_TRACED_ATTEMPTS = 1000
TRACE_ID = re.compile(r"[0-9a-f]{32}")
TRACEABLE = {
    Prefix.ESIM: "eSIM",
    Prefix.EVENT: "event",
    Prefix.DELIVERY: "delivery",
    Prefix.ATTEMPT: "attempt",
    Prefix.ORDER: "order",
    Prefix.ENDPOINT: "endpoint",
}
NO_ID = (
    "no id that can be traced: expected that of a notification (ntf_...), eSIM (esim_), event (evt_), delivery (dlv_), "
    "attempt (att_), order (ord_) or endpoint (ep_), or a trace id of 32 hex digits"
)


async def find_events(
    db: Session, tenant: Tenant, where: EventFilter, window: Window
) -> ScanResult[Event | Unreadable]:
    """Return events of the window that fit, and how far it looked."""
    async with db.snapshot():
        return await events.page(db, tenant, where, **window, max_scanned=MAX_EVENTS)


async def find_deliveries(db: Session, tenant: Tenant, where: DeliveryFilter, window: Window) -> ScanResult[Delivery]:
    """Return deliveries of the window that fit, and how far it looked."""
    async with db.snapshot():
        return await deliveries.page(db, tenant, where, **window, max_scanned=MAX_DELIVERIES)


async def find_notifications(
    db: Session, where: JournalFilter, window: Window
) -> ScanResult[JournalEntry | Unreadable]:
    """Return journal entries of the window that fit, and how far it looked; for operators."""
    async with db.snapshot():
        return await journal_lists.page(db, where, **window, max_scanned=MAX_NOTIFICATIONS)


async def find_rows(db: Session, tenant: Tenant | None, text: str) -> Sequence[Hit]:
    """Return what has this id, or what has this number or name, or else a part of one; of all tenants for operators.

    Blanks and dashes in a number do not count, nor do capital letters.
    """
    async with db.snapshot():
        match _id_in(text.strip().lower()):
            case None:
                return await _by_number(db, tenant, text)
            case Prefix.ORDER, order_id:
                return await find.by_order(db, tenant, order_id, limit=MAX_HITS)
            case Prefix.AUDIT, entry_id:
                hit = await find.audit_entry(db, tenant, entry_id)
            case kind, row_id:
                hit = await find.by_id(db, tenant, kind, row_id)
        return [] if hit is None else [hit]


async def _by_number(db: Session, tenant: Tenant | None, text: str) -> Sequence[Hit]:
    compact = re.sub(r"[\s-]", "", text)
    number = compact if compact.isdigit() else text.strip()
    hits = await find.by_number(db, tenant, number, limit=MAX_HITS)
    if hits or len(number) < MIN_FRAGMENT:
        return hits
    return await find.by_fragment(db, tenant, number.lower(), limit=MAX_HITS, max_scanned=MAX_ESIMS)


async def trace(db: Session, text: str, tenant: Tenant | None, *, operator: bool) -> Trace:
    """Return the chain around the id; `tenant` None is whoever it belongs to, which only an operator may ask."""
    async with db.snapshot():
        if TRACE_ID.fullmatch(text):
            owner = found(tenant or await find.owner_of_trace(db, text), "trace")
            ids = await find.events_in_trace(db, owner, text, limit=MAX_TRACED + 1)
            return await _chain(db, owner, Begin(event_ids=tuple(found(ids or None, "trace"))), operator=operator)
        match _id_in(text):
            case Prefix.NOTIFICATION, row_id:
                return await _of_notification(db, row_id, tenant, operator=operator)
            case kind, row_id if kind in TRACEABLE:
                hit = found(await find.by_id(db, tenant, kind, row_id), TRACEABLE[kind])
            case _:
                raise Refused.not_found(NO_ID)
        owner = found(hit.tenant, TRACEABLE[kind])
        return await _chain(db, owner, await _begin(db, owner, hit), operator=operator)


def _id_in(text: str) -> tuple[Prefix, UUID] | None:
    head, _, _ = text.rpartition("_")
    if head not in set(Prefix):
        return None
    try:
        return Prefix(head), parse_id(Prefix(head), text)
    except Refused:
        return None


async def _of_notification(db: Session, row_id: UUID, tenant: Tenant | None, *, operator: bool) -> Trace:
    owner, esim_id = found(await find.concern_of(db, row_id) if operator else None, "notification")
    if tenant is not None and owner != tenant:
        raise Refused.not_found("there is no such notification")
    if owner is None:
        alone = await journal_lists.about(db, ids=[row_id], esim_ids=[], limit=1)
        entries, unreadable = partition(alone)
        return Trace(tenant=None, notifications=entries, unreadable=unreadable)
    esim_ids = () if esim_id is None else (esim_id,)
    return await _chain(db, owner, Begin(esim_ids=esim_ids, notification_id=row_id), operator=True)


async def _begin(db: Session, tenant: Tenant, hit: Hit) -> Begin:
    """Return where the trace of the tenant's row begins."""
    match hit.kind:
        case Prefix.ESIM:
            return Begin(esim_ids=(hit.id,))
        case Prefix.EVENT:
            return Begin(event_ids=(hit.id,))
        case Prefix.ORDER:
            esims = await find.by_order(db, tenant, hit.id, limit=MAX_TRACED + 1)
            return Begin(esim_ids=tuple(esim.id for esim in esims))
        case Prefix.ENDPOINT:
            where = DeliveryFilter(endpoint_id=hit.id)
            last = await deliveries.page(db, tenant, where, before=None, limit=MAX_TRACED + 1)
            return Begin(event_ids=tuple({one.event_id for one in last.rows}), endpoint_id=hit.id)
        case _:
            # An attempt of another tenant is as unknown as one that is not there.
            delivery_id = found(hit.part_of, TRACEABLE[hit.kind]) if hit.kind is Prefix.ATTEMPT else hit.id
            delivery = found(await deliveries.find(db, tenant, delivery_id), TRACEABLE[hit.kind])
            return Begin(event_ids=(delivery.event_id,), delivery_id=delivery.id)


async def _chain(db: Session, tenant: Tenant, begin: Begin, *, operator: bool) -> Trace:
    raised = await _events(db, tenant, begin)
    shown, unreadable_events = partition(raised[:MAX_TRACED])
    esim_ids = {*begin.esim_ids, *(event.esim_id for event in shown if event.esim_id is not None)}
    known = await find.esims_of(db, tenant, list(esim_ids), limit=MAX_TRACED + 1)
    esims, unreadable_esims = partition(known[:MAX_TRACED])
    about = await _notifications(db, begin, shown) if operator else []
    entries, unreadable_entries = partition(about[:MAX_TRACED])
    chain = Trace(
        tenant=tenant,
        notifications=entries,
        esims=esims,
        events=shown if operator else [structs.replace(event, notification_id=None) for event in shown],
        unreadable=[*unreadable_entries, *unreadable_esims, *unreadable_events],
        truncated=max(len(raised), len(known), len(about), len(begin.event_ids or ())) > MAX_TRACED,
    )
    return await _with_deliveries(db, tenant, begin, chain, event_ids=[event.id for event in raised[:MAX_TRACED]])


async def _notifications(db: Session, begin: Begin, shown: Sequence[Event]) -> Sequence[JournalEntry | Unreadable]:
    """Return what raised the events; where a trace begins with eSIMs, all notifications about these."""
    causes = {event.notification_id for event in shown if event.notification_id is not None}
    if begin.notification_id is not None:
        causes.add(begin.notification_id)
    esim_ids = begin.esim_ids if begin.notification_id is None else ()
    return await journal_lists.about(db, ids=list(causes), esim_ids=esim_ids, limit=MAX_TRACED + 1)


async def _events(db: Session, tenant: Tenant, begin: Begin) -> list[Event | Unreadable]:
    if begin.notification_id is not None:
        return await find.events_of_notification(db, tenant, begin.notification_id, limit=MAX_TRACED + 1)
    if begin.event_ids is not None:
        return await find.events_with_ids(db, tenant, begin.event_ids, limit=MAX_TRACED + 1)
    return await find.events_of_esims(db, tenant, begin.esim_ids, limit=MAX_TRACED + 1)


async def _with_deliveries(
    db: Session, tenant: Tenant, begin: Begin, chain: Trace, *, event_ids: Sequence[UUID]
) -> Trace:
    made = [
        one
        for one in await deliveries.of_events(db, tenant, event_ids)
        if begin.delivery_id in (None, one.id) and begin.endpoint_id in (None, one.endpoint_id)
    ]
    shown = made[:MAX_TRACED_DELIVERIES]
    attempts = await find.attempts_of(db, tenant, [one.id for one in shown], limit=MAX_TRACED_ATTEMPTS + 1)
    by_delivery: dict[UUID, list[Attempt]] = defaultdict(list)
    for delivery_id, attempt in attempts[:MAX_TRACED_ATTEMPTS]:
        by_delivery[delivery_id].append(attempt)
    traced: Sequence[TracedDelivery] = [TracedDelivery(one, by_delivery[one.id]) for one in shown]
    more = len(made) > MAX_TRACED_DELIVERIES or len(attempts) > MAX_TRACED_ATTEMPTS
    return structs.replace(chain, deliveries=traced, truncated=chain.truncated or more)


async def of_tenant(db: Session, tenant: Tenant, where: AuditFilter, window: Window) -> Sequence[AuditEntry]:
    """Return a tenant's entries; of operators it does not say who they are and from where they act."""
    rows = await audit.page(db, tenant, where, **window)
    return [structs.replace(row, actor=_for_merchants(row.actor)) for row in rows]


def _for_merchants(actor: Actor) -> Actor:
    return actor if actor.kind is ActorKind.MERCHANT else Actor(kind=actor.kind)
