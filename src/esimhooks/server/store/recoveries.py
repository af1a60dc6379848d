"""Recoveries and what they find. A step reads the next events of an endpoint and puts those that are wanted in its lane.

The endpoint is locked before, by itself (docs/decisions/0006), so that nobody sends the same again meanwhile.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.endpoint import Endpoint, Ordering, Tenant
from esimhooks.server.domain.recovery import Candidates, Missed, Recovery
from esimhooks.server.store.database import Session
from esimhooks.server.store.deliveries import delivery_of
from esimhooks.vocabulary.statuses import Mode


class Candidate(Struct, frozen=True):
    """An event, and its delivery to the endpoint where it has one."""

    event_id: UUID
    type: str
    esim_id: UUID | None
    delivery_id: UUID | None
    status: str | None


async def insert(db: Session, recovery: Recovery) -> None:
    """Store a recovery that is to be worked off."""
    await db.conn.execute(
        """
        INSERT INTO recoveries (id, account_id, mode, endpoint_id, first_event, last_event, statuses, total, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        recovery.id,
        recovery.tenant.account_id,
        recovery.tenant.mode,
        recovery.endpoint_id,
        recovery.first_event,
        recovery.last_event,
        recovery.statuses,
        recovery.total,
        recovery.created_at,
    )


async def find(db: Session, tenant: Tenant, endpoint_id: UUID, recovery_id: UUID) -> Recovery | None:
    """Return the recovery of the tenant's endpoint, or None."""
    row = await db.conn.fetchrow(
        "SELECT * FROM recoveries WHERE account_id = $1 AND mode = $2 AND endpoint_id = $3 AND id = $4",
        tenant.account_id,
        tenant.mode,
        endpoint_id,
        recovery_id,
    )
    return None if row is None else _recovery(row)


async def latest(db: Session, tenant: Tenant, endpoint_id: UUID, *, limit: int) -> Sequence[Recovery]:
    """Return the newest recoveries of the tenant's endpoint."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM recoveries WHERE account_id = $1 AND mode = $2 AND endpoint_id = $3 ORDER BY id DESC LIMIT $4
        """,
        tenant.account_id,
        tenant.mode,
        endpoint_id,
        limit,
    )
    return [_recovery(row) for row in rows]


async def lock_next(db: Session) -> Recovery | None:
    """Return the oldest recovery that is not finished and that no other node works on, locked; None without any.

    Its endpoint is locked before it: whoever deletes the endpoint deletes its recoveries after it.
    """
    recovery_id = await db.conn.fetchval(
        """
        SELECT r.id FROM recoveries r JOIN endpoints e ON e.id = r.endpoint_id
        WHERE r.finished_at IS NULL ORDER BY r.id LIMIT 1 FOR NO KEY UPDATE OF e SKIP LOCKED
        """
    )
    row = await db.conn.fetchrow(
        "SELECT * FROM recoveries WHERE id = $1 AND finished_at IS NULL FOR UPDATE", recovery_id
    )
    return None if row is None else _recovery(row)


async def advance(db: Session, recovery: Recovery) -> None:
    """Write down how far a recovery is."""
    await db.conn.execute(
        "UPDATE recoveries SET reached = $2, seen = $3, sent = $4, finished_at = $5 WHERE id = $1",
        recovery.id,
        recovery.reached,
        recovery.seen,
        recovery.sent,
        recovery.finished_at,
    )


async def count(
    db: Session, tenant: Tenant, endpoint_id: UUID, *, types: Collection[str], first: UUID, last: UUID
) -> Candidates:
    """Count the tenant's events from `first` to before `last` by what became of them at the endpoint."""
    rows = await db.conn.fetch(
        """
        SELECT coalesce(d.status, 'never') AS status, count(*) AS number
        FROM events e
        LEFT JOIN (
            SELECT event_id, status FROM deliveries
            WHERE account_id = $1 AND mode = $2 AND endpoint_id = $3 AND id >= $5
        ) d ON d.event_id = e.id
        WHERE e.account_id = $1 AND e.mode = $2 AND e.id >= $5 AND e.id < $6
          AND (e.endpoint_id IS NULL OR e.endpoint_id = $3) AND (d.status IS NOT NULL OR e.type = ANY($4))
          AND d.status IS DISTINCT FROM 'pending'
        GROUP BY 1
        """,
        tenant.account_id,
        tenant.mode,
        endpoint_id,
        list(types),
        first,
        last,
    )
    return Candidates({Missed(row["status"]): row["number"] for row in rows})


async def next_candidates(db: Session, recovery: Recovery, *, limit: int) -> Sequence[Candidate]:
    """Return the next events of a recovery with their deliveries, oldest first."""
    rows = await db.conn.fetch(
        """
        SELECT id, type, esim_id FROM events
        WHERE account_id = $1 AND mode = $2 AND id >= $3 AND id < $4 AND ($5::uuid IS NULL OR id > $5)
          AND (endpoint_id IS NULL OR endpoint_id = $6)
        ORDER BY id LIMIT $7
        """,
        recovery.tenant.account_id,
        recovery.tenant.mode,
        recovery.first_event,
        recovery.last_event,
        recovery.reached,
        recovery.endpoint_id,
        limit,
    )
    made = await db.conn.fetch(
        "SELECT id, event_id, status FROM deliveries WHERE event_id = ANY($1) AND endpoint_id = $2 ORDER BY id",
        [row["id"] for row in rows],
        recovery.endpoint_id,
    )
    newest = {row["event_id"]: row for row in made}
    return [
        Candidate(
            row["id"],
            row["type"],
            row["esim_id"],
            newest[row["id"]]["id"] if row["id"] in newest else None,
            newest[row["id"]]["status"] if row["id"] in newest else None,
        )
        for row in rows
    ]


async def reopen(db: Session, endpoint: Endpoint, delivery_ids: Sequence[UUID]) -> list[Delivery]:
    """Make finished deliveries of the endpoint, which is locked, pending again; return them, for the queue."""
    rows = await db.conn.fetch(
        """
        UPDATE deliveries SET status = 'pending', finished_at = NULL
        WHERE id = ANY($1) AND status <> 'pending' RETURNING *, NULL::timestamptz AS due_at
        """,
        delivery_ids,
    )
    keeps_order = endpoint.ordering is Ordering.ESIM
    return [replace(one, ordered=keeps_order and one.esim_id is not None) for one in map(delivery_of, rows)]


def _recovery(row: asyncpg.Record) -> Recovery:
    return Recovery(
        id=row["id"],
        tenant=Tenant(row["account_id"], Mode(row["mode"])),
        endpoint_id=row["endpoint_id"],
        first_event=row["first_event"],
        last_event=row["last_event"],
        statuses=tuple(Missed(status) for status in row["statuses"]),
        total=row["total"],
        reached=row["reached"],
        seen=row["seen"],
        sent=row["sent"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
