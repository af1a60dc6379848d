"""Background jobs, recoveries and requeries of many eSIMs, in one table, and the rows that each goes over.

Whoever claims a job has it for the time of its lease. A step is written only where no other node went on with the job or
ended it meanwhile, so that whatever a step does in the same transaction happens once.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.ids import first_id_beside
from esimhooks.server.domain.job import Filter, Job, Missed, MissedCount, RecoveryFilter, RequeryFilter
from esimhooks.server.store import fan_outs
from esimhooks.server.store.database import Session, row_count
from esimhooks.server.store.freezing import IS_OPEN
from esimhooks.server.store.statements import struct_of, tenant_of

QUERYABLE_ESIMS = """
    account_id = $1 AND mode = $2 AND provider IS NOT NULL AND esim_tran_no IS NOT NULL
    AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR iccid = $4)
    AND ($5::text IS NULL OR transaction_id = $5) AND ($6::text IS NULL OR order_no = $6)
    AND id <= $7
"""
"""Those that a provider has allocated."""


async def insert(db: Session, job: Job[Filter]) -> bool:
    """Store a job that is to be processed; false for a requery where the tenant has one under way."""
    return bool(
        await db.conn.fetchval(
            """
            INSERT INTO jobs (id, kind, account_id, mode, endpoint_id, filter, total, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING true
            """,
            job.id,
            job.filter.kind,
            *job.tenant,
            job.endpoint_id,
            job.filter,
            job.total,
            job.created_at,
        )
    )


async def find(
    db: Session, tenant: Tenant, kind: type[Filter], job_id: UUID, *, endpoint_id: UUID | None = None
) -> Job[Filter] | None:
    """Return the tenant's job of that kind, and of that endpoint where one is named, or None."""
    row = await db.conn.fetchrow(
        """
        SELECT * FROM jobs
        WHERE account_id = $1 AND mode = $2 AND kind = $3 AND id = $4 AND ($5::uuid IS NULL OR endpoint_id = $5)
        """,
        *tenant,
        kind.kind,
        job_id,
        endpoint_id,
    )
    return None if row is None else _job(kind, row)


async def page(
    db: Session,
    tenant: Tenant,
    kind: type[Filter],
    *,
    endpoint_id: UUID | None = None,
    before: UUID | None,
    limit: int,
) -> Sequence[Job[Filter]]:
    """Return the tenant's jobs of that kind, newest first, older than the id `before`."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM jobs
        WHERE account_id = $1 AND mode = $2 AND kind = $3 AND ($4::uuid IS NULL OR endpoint_id = $4)
          AND ($5::uuid IS NULL OR id < $5)
        ORDER BY id DESC LIMIT $6
        """,
        *tenant,
        kind.kind,
        endpoint_id,
        before,
        limit,
    )
    return [_job(kind, row) for row in rows]


IS_DUE = f"finished_at IS NULL AND due_at <= now() AND {IS_OPEN}"


async def claim(db: Session, kind: type[Filter], *, limit: int, lease_s: float) -> Sequence[Job[Filter]]:
    """Claim the jobs of that kind that have waited longest, for `lease_s`."""
    rows = await db.conn.fetch(
        f"""
        UPDATE jobs SET due_at = now() + make_interval(secs => $3)
        WHERE id = ANY (ARRAY(
            SELECT id FROM jobs WHERE kind = $1 AND {IS_DUE}
            ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ))
        RETURNING *
        """,
        kind.kind,
        limit,
        lease_s,
    )
    return [_job(kind, row) for row in rows]


async def advance(db: Session, before: Job[Filter], after: Job[Filter], *, again_in_s: float) -> bool:
    """Write how far a job is and when it continues; false where it is not any more as `before` says.

    Then another node went on with it, or a person ended it, and the caller's transaction must not count.
    """
    return bool(
        await db.conn.fetchval(
            """
            UPDATE jobs
            SET cursor = $5, done = $6, changed = $7, failed = $8, problem = $9, waits = $10, finished_at = $11,
                due_at = now() + make_interval(secs => $12)
            WHERE id = $1 AND cursor IS NOT DISTINCT FROM $2 AND done = $3 AND waits = $4 AND finished_at IS NULL
            RETURNING true
            """,
            before.id,
            before.cursor,
            before.done,
            before.waits,
            after.cursor,
            after.done,
            after.changed,
            after.failed,
            after.problem,
            after.waits,
            after.finished_at,
            again_in_s,
        )
    )


async def end(db: Session, tenant: Tenant, job_id: UUID, *, problem: str, now: datetime) -> bool:
    """End the tenant's job where it is; false where it is finished."""
    return bool(
        await db.conn.fetchval(
            """
            UPDATE jobs SET finished_at = $5, problem = $4
            WHERE account_id = $1 AND mode = $2 AND id = $3 AND finished_at IS NULL RETURNING true
            """,
            *tenant,
            job_id,
            problem,
            now,
        )
    )


async def delete_before(db: Session, *, before: datetime, limit: int) -> int:
    """Delete jobs that ended before that time (aware UTC); return how many rows went."""
    return row_count(
        await db.conn.execute(
            "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at < $1 ORDER BY id LIMIT $2)",
            before,
            limit,
        )
    )


class Candidate(Struct, frozen=True):
    """An event that a recovery goes over, and its delivery to the endpoint where it has one.

    `fans_out` means that its deliveries are still being made, and one to the endpoint may come yet.
    """

    event_id: UUID
    type: str
    esim_id: UUID | None
    fans_out: bool
    delivery_id: UUID | None
    status: str | None


async def count_missed(
    db: Session, tenant: Tenant, endpoint_id: UUID, *, types: Collection[str], first: UUID, last: UUID
) -> MissedCount:
    """Count the tenant's events from `first` to before `last` by what became of them at the endpoint."""
    rows = await db.conn.fetch(
        """
        SELECT coalesce(d.status, 'never') AS status, count(*) AS number
        FROM events e
        LEFT JOIN (
            SELECT event_id, status FROM deliveries
            WHERE account_id = $1 AND mode = $2 AND endpoint_id = $3 AND id >= $7
        ) d ON d.event_id = e.id
        WHERE e.account_id = $1 AND e.mode = $2 AND e.id >= $5 AND e.id < $6
          AND (e.endpoint_id IS NULL OR e.endpoint_id = $3) AND (d.status IS NOT NULL OR e.type = ANY($4))
          AND d.status IS DISTINCT FROM 'pending'
        GROUP BY 1
        """,
        *tenant,
        endpoint_id,
        list(types),
        first,
        last,
        first_id_beside(first),
    )
    return MissedCount({Missed(row["status"]): row["number"] for row in rows})


async def never_sent(  # noqa: PLR0913 - as `count_missed`
    db: Session, tenant: Tenant, endpoint_id: UUID, *, types: Collection[str], first: UUID, last: UUID, limit: int
) -> Sequence[UUID]:
    """Return the newest of the events that `count_missed` counts as never sent."""
    rows = await db.conn.fetch(
        """
        SELECT e.id FROM events e
        WHERE e.account_id = $1 AND e.mode = $2 AND e.id >= $5 AND e.id < $6 AND e.type = ANY($4)
          AND (e.endpoint_id IS NULL OR e.endpoint_id = $3)
          AND NOT EXISTS (
              SELECT FROM deliveries d
              WHERE d.account_id = $1 AND d.mode = $2 AND d.endpoint_id = $3 AND d.id >= $8 AND d.event_id = e.id
          )
        ORDER BY e.id DESC LIMIT $7
        """,
        *tenant,
        endpoint_id,
        list(types),
        first,
        last,
        limit,
        first_id_beside(first),
    )
    return [row["id"] for row in rows]


async def next_candidates(db: Session, job: Job[RecoveryFilter], *, limit: int) -> Sequence[Candidate]:
    """Return the next events of a recovery with their deliveries, oldest first."""
    rows = await db.conn.fetch(
        """
        SELECT id, type, esim_id FROM events
        WHERE account_id = $1 AND mode = $2 AND id >= $3 AND id < $4 AND ($5::uuid IS NULL OR id > $5)
          AND (endpoint_id IS NULL OR endpoint_id = $6)
        ORDER BY id LIMIT $7
        """,
        *job.tenant,
        job.filter.first_event,
        job.filter.last_event,
        job.cursor,
        job.endpoint_id,
        limit,
    )
    unfinished = await fan_outs.unfinished(db, [row["id"] for row in rows])
    made = await db.conn.fetch(
        "SELECT id, event_id, status FROM deliveries WHERE event_id = ANY($1) AND endpoint_id = $2 ORDER BY id",
        [row["id"] for row in rows],
        job.endpoint_id,
    )
    newest = {row["event_id"]: (row["id"], row["status"]) for row in made}
    return [
        Candidate(row["id"], row["type"], row["esim_id"], row["id"] in unfinished, *newest.get(row["id"], (None, None)))
        for row in rows
    ]


async def count_esims(db: Session, tenant: Tenant, where: EsimFilter, *, last_esim: UUID) -> int:
    """Return how many of the tenant's eSIMs up to `last_esim` match and can be queried."""
    number: int = await db.conn.fetchval(
        f"SELECT count(*) FROM esims WHERE {QUERYABLE_ESIMS}", *_of_esims(tenant, where, last_esim)
    )
    return number


async def next_esims(db: Session, job: Job[RequeryFilter], *, limit: int) -> Sequence[UUID]:
    """Return the ids of the next eSIMs of a requery, oldest first."""
    rows = await db.conn.fetch(
        f"SELECT id FROM esims WHERE {QUERYABLE_ESIMS} AND ($8::uuid IS NULL OR id > $8) ORDER BY id LIMIT $9",
        *_of_esims(job.tenant, job.filter.where, job.filter.last_esim),
        job.cursor,
        limit,
    )
    return [row["id"] for row in rows]


def _of_esims(tenant: Tenant, where: EsimFilter, last_esim: UUID) -> list[object]:
    return [
        *tenant,
        where.status,
        where.iccid,
        where.transaction_id,
        where.order_no,
        last_esim,
    ]


def _job(kind: type[Filter], row: asyncpg.Record) -> Job[Filter]:
    return struct_of(Job, row, tenant=tenant_of(row), filter=msgspec.convert(row["filter"], kind))
