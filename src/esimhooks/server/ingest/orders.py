"""Orders: made with their eSIMs in PENDING, filled when the provider has allocated them; and top-ups of an eSIM."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict, replace

from esimhooks.server.domain.audit import Action, Actor, changes, order_fields
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import NOTHING_FURTHER, Esim, Further, OpenTopUp
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.notification import JournalEntry
from esimhooks.server.domain.order import Order
from esimhooks.server.domain.schedule import ORDER_POLL_FIRST_S
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.ingest.batch import BatchResult, Item, apply_batch
from esimhooks.server.providers.port import OrderFailed, OrderUnknown
from esimhooks.server.store import esims, journal, orders
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.batch_reads import Scope
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import EsimStatus, Reason

UNKNOWN_FOR = timedelta(minutes=15)
"""For how long after an order was made its provider may not know it yet."""
ENDED = (EsimStatus.FAILED, EsimStatus.CANCEL, EsimStatus.REVOKED)


class NewOrder(Struct, frozen=True, kw_only=True):
    """What the operator reports of an order."""

    tenant: Tenant
    provider: str
    transaction_id: str
    order_no: str | None
    package_code: str
    package_name: str | None
    quantity: int
    metadata: Mapping[str, str] = {}


async def top_up(db: Session, actor: Actor, new: NewOrder, esim: Esim, *, polled: bool, now: datetime) -> Order:
    """Store the order of more volume for an eSIM, or return the one with the same transaction id; needs a transaction.

    The next volume that is added to the eSIM names it. `polled`: whether its provider can be queried.
    """
    order = replace(_order(new, now), esim_id=esim.id)
    if known := await _store(db, actor, order, polled=polled and esim.esim_tran_no is not None):
        return known
    await esims.open_top_up(db, esim.id, OpenTopUp(order.transaction_id, order.package_code))
    return order


async def place(db: Session, actor: Actor, new: NewOrder, *, polled: bool, now: datetime) -> Order:
    """Store the order with its eSIMs, or return the one with the same transaction id; needs a transaction.

    `polled`: whether its provider can be queried.
    """
    order = _order(new, now)
    if known := await _store(db, actor, order, polled=polled and order.order_no is not None):
        return known
    made = [_pending(order, now) for _ in range(order.quantity)]
    await esims.insert(db, made)
    await journal.wake_unmatched(db, [made[0]])
    return order


async def _store(db: Session, actor: Actor, order: Order, *, polled: bool) -> Order | None:
    """Store a new order; return the one there is with the same transaction id."""
    if not await orders.insert(db, order, first_poll_in_s=ORDER_POLL_FIRST_S if polled else None):
        return await orders.find_by_transaction(db, order.tenant, order.transaction_id) or order
    fields = changes({}, order_fields(order))
    await record_action(db, actor, Action.ORDER_CREATE, order.id, owner=order.tenant, changes=fields)
    return None


def _order(new: NewOrder, now: datetime) -> Order:
    return Order(id=new_id(), created_at=now, **asdict(new))


def _pending(order: Order, now: datetime) -> Esim:
    return Esim(
        id=new_id(),
        account_id=order.tenant.account_id,
        mode=order.tenant.mode,
        created_at=now,
        updated_at=now,
        order_id=order.id,
        provider=order.provider,
        transaction_id=order.transaction_id,
        order_no=order.order_no,
        package_code=order.package_code,
        package_name=order.package_name,
        status=EsimStatus.PENDING,
        further=Further(metadata=order.metadata) if order.metadata else NOTHING_FURTHER,
    )


async def fill(
    db: Session,
    order: Order,
    snapshots: Sequence[Update],
    policy: EmitPolicy,
    *,
    entry: JournalEntry | None = None,
) -> BatchResult:
    """Apply what the provider says of an order's eSIMs; needs a transaction.

    Each goes to the eSIM that it speaks of, else to a free slot. Those that find none are unmatched. `entry` is the
    notification that said that the order is ready.
    """
    item = Item(
        scope=Scope(provider=order.provider),
        updates=tuple(snapshots),
        order_id=order.id,
        entry=entry,
        journaled=entry is not None,
    )
    applied = await apply_batch(db, [item], policy)
    await orders.end_polling_where_filled(db, order.id)
    return applied


def has_failed(order: Order, error: Exception, *, now: datetime) -> bool:
    """Whether the provider's answer ends the order; one that it does not know yet is polled for a while."""
    if isinstance(error, OrderUnknown):
        return now - order.created_at >= UNKNOWN_FOR
    return isinstance(error, OrderFailed)


def refunded(snapshots: Sequence[Update]) -> tuple[Update, ...]:
    """Return what a provider says of the eSIMs of an order that it has refunded, with that reason."""
    return tuple(
        replace(one, reason=Reason.REFUNDED.value) if one.esim_status is EsimStatus.CANCEL else one for one in snapshots
    )


async def refund(db: Session, order: Order, policy: EmitPolicy, *, entry: JournalEntry | None = None) -> BatchResult:
    """Make the eSIMs of an order `CANCEL` because it was refunded; it is polled no more.

    Those that failed, were cancelled or revoked before stay as they are. It is later than all that is known of them,
    whatever the clock of this node.
    """
    ended = Update(identity=Identity(), cause=Cause.FILL, esim_status=EsimStatus.CANCEL, reason=Reason.REFUNDED.value)
    esim_ids = await esims.lock_of_order(db, order.id, but_not=ENDED)
    return await _end(db, order, ended, esim_ids, policy, entry)


async def fail(
    db: Session, order: Order, reason: str, policy: EmitPolicy, *, entry: JournalEntry | None = None
) -> BatchResult:
    """Make what is pending of an order `FAILED`, with the provider's words; it is polled no more."""
    failed = Update(identity=Identity(), cause=Cause.FILL, esim_status=EsimStatus.FAILED, reason=reason)
    filled = [status for status in EsimStatus if status is not EsimStatus.PENDING]
    pending = await esims.lock_of_order(db, order.id, but_not=filled)
    return await _end(db, order, failed, pending, policy, entry)


async def _end(
    db: Session,
    order: Order,
    end: Update,
    esim_ids: Sequence[UUID],
    policy: EmitPolicy,
    entry: JournalEntry | None,
) -> BatchResult:
    item = Item(
        scope=Scope(provider=order.provider),
        updates=(end,) * len(esim_ids),
        esim_ids=tuple(esim_ids),
        entry=entry if entry is None or esim_ids else replace(entry, outcome=UpdateOutcome.UNCHANGED),
        journaled=entry is not None,
    )
    applied = await apply_batch(db, [item], policy)
    await orders.end_polling(db, order.id)
    return applied
