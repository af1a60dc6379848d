"""Requeries of many eSIMs. Whoever takes one up has it for a while; each step is written only if nobody else went on."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import Esim, EsimFilter
from esimhooks.server.domain.requery import BulkRequery
from esimhooks.server.store import esims
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import EsimStatus, Mode

ASKABLE = "provider IS NOT NULL AND esim_tran_no IS NOT NULL"
"""What a provider has allocated can be asked for."""
WANTED = f"""
    account_id = $1 AND mode = $2 AND {ASKABLE}
    AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR iccid = $4)
    AND ($5::text IS NULL OR transaction_id = $5) AND ($6::text IS NULL OR order_no = $6)
    AND id <= $7
"""


async def insert(db: Session, requery: BulkRequery) -> bool:
    """Store a requery that is to be worked off; false where the tenant has one under way."""
    return bool(
        await db.conn.fetchval(
            """
            INSERT INTO requeries (id, account_id, mode, status, iccid, transaction_id, order_no, last_esim, matched,
                                   created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING true
            """,
            requery.id,
            requery.tenant.account_id,
            requery.tenant.mode,
            requery.where.status,
            requery.where.iccid,
            requery.where.transaction_id,
            requery.where.order_no,
            requery.last_esim,
            requery.matched,
            requery.created_at,
        )
    )


async def count(db: Session, tenant: Tenant, where: EsimFilter, *, last_esim: UUID) -> int:
    """Return how many of the tenant's eSIMs up to `last_esim` fit and can be asked for."""
    number: int = await db.conn.fetchval(
        f"SELECT count(*) FROM esims WHERE {WANTED}", *_wanted(tenant, where, last_esim)
    )
    return number


async def find(db: Session, tenant: Tenant, requery_id: UUID) -> BulkRequery | None:
    """Return the tenant's requery, or None."""
    row = await db.conn.fetchrow(
        "SELECT * FROM requeries WHERE account_id = $1 AND mode = $2 AND id = $3",
        tenant.account_id,
        tenant.mode,
        requery_id,
    )
    return None if row is None else _requery(row)


async def page(db: Session, tenant: Tenant, *, before: UUID | None, limit: int) -> Sequence[BulkRequery]:
    """Return the tenant's requeries, newest first, older than the id `before`."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM requeries WHERE account_id = $1 AND mode = $2 AND ($3::uuid IS NULL OR id < $3)
        ORDER BY id DESC LIMIT $4
        """,
        tenant.account_id,
        tenant.mode,
        before,
        limit,
    )
    return [_requery(row) for row in rows]


async def take_next(db: Session, *, for_s: float) -> BulkRequery | None:
    """Take up the requery that has waited longest, for so many seconds; None where none is due."""
    row = await db.conn.fetchrow(
        """
        UPDATE requeries SET due_at = now() + make_interval(secs => $1)
        WHERE id = (SELECT id FROM requeries WHERE finished_at IS NULL AND due_at <= now() ORDER BY due_at LIMIT 1
                    FOR UPDATE SKIP LOCKED)
        RETURNING *
        """,
        for_s,
    )
    return None if row is None else _requery(row)


async def next_esims(db: Session, requery: BulkRequery, *, limit: int) -> Sequence[Esim]:
    """Return the next eSIMs of a requery, oldest first."""
    rows = await db.conn.fetch(
        f"SELECT * FROM esims WHERE {WANTED} AND ($8::uuid IS NULL OR id > $8) ORDER BY id LIMIT $9",
        *_wanted(requery.tenant, requery.where, requery.last_esim),
        requery.reached,
        limit,
    )
    return [esims.esim_of(db, row) for row in rows]


async def advance(db: Session, before: BulkRequery, after: BulkRequery, *, again_in_s: float) -> bool:
    """Write how far a requery is and when it goes on; false where it is not any more as `before` says.

    Then another node went on with it, or a person ended it, and the caller's transaction must not count.
    """
    return bool(
        await db.conn.fetchval(
            """
            UPDATE requeries
            SET reached = $5, done = $6, changed = $7, failed = $8, problem = $9, waits = $10, finished_at = $11,
                due_at = now() + make_interval(secs => $12)
            WHERE id = $1 AND reached IS NOT DISTINCT FROM $2 AND done = $3 AND waits = $4 AND finished_at IS NULL
            RETURNING true
            """,
            before.id,
            before.reached,
            before.done,
            before.waits,
            after.reached,
            after.done,
            after.changed,
            after.failed,
            after.problem,
            after.waits,
            after.finished_at,
            again_in_s,
        )
    )


async def end(db: Session, tenant: Tenant, requery_id: UUID, *, problem: str, now: datetime) -> bool:
    """End the tenant's requery where it is; false where it is finished."""
    return bool(
        await db.conn.fetchval(
            """
            UPDATE requeries SET finished_at = $5, problem = $4
            WHERE account_id = $1 AND mode = $2 AND id = $3 AND finished_at IS NULL RETURNING true
            """,
            tenant.account_id,
            tenant.mode,
            requery_id,
            problem,
            now,
        )
    )


def _wanted(tenant: Tenant, where: EsimFilter, last_esim: UUID) -> list[object]:
    return [
        tenant.account_id,
        tenant.mode,
        where.status,
        where.iccid,
        where.transaction_id,
        where.order_no,
        last_esim,
    ]


def _requery(row: asyncpg.Record) -> BulkRequery:
    return BulkRequery(
        id=row["id"],
        tenant=Tenant(row["account_id"], Mode(row["mode"])),
        where=EsimFilter(
            status=None if row["status"] is None else EsimStatus(row["status"]),
            iccid=row["iccid"],
            transaction_id=row["transaction_id"],
            order_no=row["order_no"],
        ),
        last_esim=row["last_esim"],
        matched=row["matched"],
        reached=row["reached"],
        done=row["done"],
        changed=row["changed"],
        failed=row["failed"],
        problem=row["problem"],
        waits=row["waits"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
