"""Orders: made with their eSIMs in PENDING, filled when the provider has allocated them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.audit import Action, Actor, changes, order_fields
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.order import Order
from esimhooks.server.domain.schedule import ORDER_POLL_FIRST_S
from esimhooks.server.domain.update import Update
from esimhooks.server.ingest.absorb import Absorbed, Entry, absorb, wake_unmatched
from esimhooks.server.store import esims, orders
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Session
from esimhooks.server.store.esims import Scope
from esimhooks.vocabulary.statuses import EsimStatus


class NewOrder(Struct, frozen=True, kw_only=True):
    """What the operator tells of an order."""

    tenant: Tenant
    provider: str
    transaction_id: str
    order_no: str | None
    package_code: str
    package_name: str | None
    quantity: int


async def place(db: Session, actor: Actor, new: NewOrder, *, polled: bool, now: datetime) -> Order:
    """Store the order with its eSIMs, or return the one with the same transaction id; needs a transaction.

    `polled` tells whether its provider can be asked.
    """
    order = Order(
        id=new_id(),
        tenant=new.tenant,
        provider=new.provider,
        transaction_id=new.transaction_id,
        order_no=new.order_no,
        package_code=new.package_code,
        package_name=new.package_name,
        quantity=new.quantity,
        created_at=now,
    )
    polls = polled and order.order_no is not None
    if not await orders.insert(db, order, first_poll_in_s=ORDER_POLL_FIRST_S if polls else None):
        known = await orders.find_by_transaction(db, new.tenant, new.transaction_id)
        return known or order
    made = [_pending(order, now) for _ in range(order.quantity)]
    await esims.insert(db, made)
    await wake_unmatched(db, made)
    told = changes({}, order_fields(order))
    await note(db, actor, Action.ORDER_CREATE, text_of(Prefix.ORDER, order.id), whose=order.tenant, changes=told)
    return order


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
    )


async def fill(
    db: Session,
    order: Order,
    snapshots: Sequence[Update],
    policy: EmitPolicy,
    *,
    now: datetime,
    notification_id: UUID | None = None,
) -> list[Absorbed]:
    """Apply what the provider says of an order's eSIMs; needs a transaction.

    Each snapshot goes to the eSIM with its key, else to one that has none yet. Those that find no room are unmatched.
    """
    rows = await esims.lock_of_order(db, order.id)
    places = assign(rows, snapshots)
    entries = [
        Entry(
            update=snapshot,
            scope=Scope(provider=order.provider),
            received_at=now,
            notification_id=notification_id,
            esim_id=esim_id,
        )
        for snapshot, esim_id in places
        if esim_id is not None
    ]
    results = await absorb(db, entries, policy, now=now)
    still_pending = {row.id for row in rows if row.status is EsimStatus.PENDING}
    filled = {
        esim_id
        for snapshot, esim_id in places
        if snapshot.esim_status not in (None, EsimStatus.PENDING) and esim_id is not None
    }
    if not still_pending - filled:
        await orders.end_polling(db, order.id)
    spare = sum(1 for _, esim_id in places if esim_id is None)
    if spare:
        detail = f"{spare} more eSIMs than the order of {order.quantity} has room for"
        results.append(Absorbed(outcome=UpdateOutcome.UNMATCHED, detail=detail))
    return results


def assign(rows: Sequence[Esim], snapshots: Sequence[Update]) -> list[tuple[Update, UUID | None]]:
    """Say for each snapshot which of the order's eSIMs it describes."""
    by_key = {row.esim_tran_no: row.id for row in rows if row.esim_tran_no is not None}
    free = [row.id for row in rows if row.esim_tran_no is None]
    assigned: list[tuple[Update, UUID | None]] = []
    for snapshot in snapshots:
        known = by_key.get(snapshot.identity.esim_tran_no or "")
        assigned.append((snapshot, known or (free.pop(0) if free else None)))
    return assigned
