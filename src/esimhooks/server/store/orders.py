"""Orders: what was bought from a provider, until its eSIMs are allocated."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.notification import OrderRef
from esimhooks.server.domain.order import Order, OrderFilter
from esimhooks.server.store.database import Session
from esimhooks.server.store.freezing import IS_OPEN
from esimhooks.server.store.statements import struct_of, tenant_of


async def insert(db: Session, order: Order, *, first_poll_in_s: float | None) -> bool:
    """Store a new order; false where the tenant has one with the same transaction id already."""
    return bool(
        await db.conn.fetchval(
            """
            INSERT INTO orders (id, account_id, mode, provider, transaction_id, order_no, package_code, package_name,
                                quantity, created_at, next_poll_at, metadata, esim_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11), $12, $13)
            ON CONFLICT (account_id, mode, transaction_id) DO NOTHING RETURNING true
            """,
            order.id,
            *order.tenant,
            order.provider,
            order.transaction_id,
            order.order_no,
            order.package_code,
            order.package_name,
            order.quantity,
            order.created_at,
            first_poll_in_s,
            dict(order.metadata) or None,
            order.esim_id,
        )
    )


async def find(db: Session, order_id: UUID) -> Order | None:
    """Return the order, or None; orders are the operator's."""
    row = await db.conn.fetchrow("SELECT * FROM orders WHERE id = $1", order_id)
    return None if row is None else _order(row)


async def find_by_transaction(db: Session, tenant: Tenant, transaction_id: str) -> Order | None:
    """Return the tenant's order with the operator's own reference, or None."""
    row = await db.conn.fetchrow(
        "SELECT * FROM orders WHERE account_id = $1 AND mode = $2 AND transaction_id = $3", *tenant, transaction_id
    )
    return None if row is None else _order(row)


async def find_by_reference(db: Session, provider: str, ref: OrderRef) -> Order | None:
    """Return the provider's order by its number, else by the transaction id if only one order has it; no top-up."""
    rows = await db.conn.fetch(
        """
        SELECT *, order_no = $2 AS by_number FROM orders
        WHERE provider = $1 AND esim_id IS NULL AND (order_no = $2 OR (transaction_id = $3 AND (order_no = $2) IS NOT FALSE))
        ORDER BY (order_no = $2) IS TRUE DESC, id DESC LIMIT 2
        """,
        provider,
        ref.order_no,
        ref.transaction_id,
    )
    if not rows or (len(rows) == 2 and not rows[0]["by_number"]):
        return None
    return _order(rows[0])


async def page(db: Session, where: OrderFilter, *, before: UUID | None, limit: int) -> Sequence[Order]:
    """Return orders of all tenants, newest first, older than the id `before`; for operators."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM orders
        WHERE ($1::uuid IS NULL OR id < $1) AND ($2::uuid IS NULL OR account_id = $2) AND ($3::text IS NULL OR mode = $3)
          AND ($4::text IS NULL OR provider = $4) AND ($5::text IS NULL OR transaction_id = $5)
          AND ($6::text IS NULL OR order_no = $6)
        ORDER BY id DESC LIMIT $7
        """,
        before,
        where.account_id,
        where.mode,
        where.provider,
        where.transaction_id,
        where.order_no,
        limit,
    )
    return [_order(row) for row in rows]


IS_POLL_DUE = f"next_poll_at <= now() AND {IS_OPEN}"


async def claim_polls(db: Session, *, retry_in_s: float, limit: int) -> Sequence[Order]:
    """Claim orders whose poll is due and put their next one `retry_in_s` off, in case this one is never finished.

    Each provider's in turn, so that one with many orders does not keep the others waiting.
    """
    rows = await db.conn.fetch(
        f"""
        UPDATE orders SET polls = polls + 1, next_poll_at = now() + make_interval(secs => $1)
        WHERE id IN (
            SELECT o.id FROM (SELECT DISTINCT provider FROM orders WHERE {IS_POLL_DUE}) p
            CROSS JOIN LATERAL (
                SELECT id FROM orders WHERE provider = p.provider AND {IS_POLL_DUE}
                ORDER BY next_poll_at LIMIT $2 FOR UPDATE SKIP LOCKED
            ) o
        )
        RETURNING *
        """,
        retry_in_s,
        limit,
    )
    return [_order(row) for row in rows]


async def poll_again(db: Session, order_id: UUID, *, seconds: float) -> None:
    """Set the next poll of an order that is still polled."""
    await db.conn.execute(
        """
        UPDATE orders SET next_poll_at = now() + make_interval(secs => $2)
        WHERE id = $1 AND next_poll_at IS NOT NULL
        """,
        order_id,
        seconds,
    )


async def poll_top_up_now(db: Session, provider: str, ref: OrderRef) -> bool:
    """Let a top-up that the provider speaks of be polled at once; false where none is waited for."""
    polled = await db.conn.fetchval(
        """
        UPDATE orders SET next_poll_at = now()
        WHERE provider = $1 AND esim_id IS NOT NULL AND next_poll_at IS NOT NULL
          AND (order_no = $2 OR transaction_id = $3) RETURNING true
        """,
        provider,
        ref.order_no,
        ref.transaction_id,
    )
    return bool(polled)


async def end_polling(db: Session, order_id: UUID) -> None:
    """The order is complete: its provider need not be asked again."""
    await db.conn.execute("UPDATE orders SET next_poll_at = NULL WHERE id = $1", order_id)


async def end_polling_where_filled(db: Session, order_id: UUID) -> None:
    """End polling an order of which no eSIM is pending any more, whoever filled it."""
    await db.conn.execute(
        """
        UPDATE orders SET next_poll_at = NULL WHERE id = $1 AND next_poll_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM esims WHERE order_id = $1 AND status = 'PENDING')
        """,
        order_id,
    )


async def set_order_no(db: Session, order_id: UUID, order_no: str, *, first_poll_in_s: float) -> None:
    """Write down the provider's number of an order that was known by its transaction only, and of its eSIMs.

    From now on the order can be polled.
    """
    await db.conn.execute(
        """
        UPDATE orders SET order_no = $2, next_poll_at = now() + make_interval(secs => $3)
        WHERE id = $1 AND order_no IS NULL
        """,
        order_id,
        order_no,
        first_poll_in_s,
    )
    # Locked in the order of ids, as everywhere, so that two transactions cannot wait for each other.
    await db.conn.execute(
        """
        UPDATE esims SET order_no = $2
        WHERE id IN (SELECT id FROM esims WHERE order_id = $1 AND order_no IS NULL ORDER BY id FOR UPDATE)
        """,
        order_id,
        order_no,
    )


def _order(row: asyncpg.Record) -> Order:
    return struct_of(Order, row, tenant=tenant_of(row), metadata=row["metadata"] or {})
