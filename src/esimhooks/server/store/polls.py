"""Which usage is to be polled, and when again. Rows are taken with `SKIP LOCKED`, by any number of nodes."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from msgspec import Struct

from esimhooks.server.store.database import Session

_POLLED = "status IN ('ACTIVATED', 'IN_USE', 'USED_UP') AND esim_tran_no IS NOT NULL AND provider IS NOT NULL"


class DuePoll(Struct, frozen=True):
    """One eSIM whose usage is to be polled."""

    esim_id: UUID
    provider: str
    esim_tran_no: str


async def claim(db: Session, *, interval_s: float, limit: int) -> tuple[Sequence[DuePoll], bool]:
    """Take eSIMs whose usage is due to be polled and put their next poll one interval off, spread over a tenth of it.

    An eSIM that was never polled is first scheduled, somewhere within the interval. One that is not active yet is polled
    where its provider does not report by itself that it is. Returns those to poll, and whether there may be more to take.
    """
    rows = await db.conn.fetch(
        f"""
        WITH active AS (
            SELECT id, next_poll_at IS NULL AS first FROM esims
            WHERE {_POLLED} AND (next_poll_at IS NULL OR next_poll_at <= now())
            ORDER BY next_poll_at NULLS FIRST LIMIT $2 FOR UPDATE SKIP LOCKED
        ), created AS (
            SELECT e.id, e.first FROM providers p CROSS JOIN LATERAL (
                SELECT id, next_poll_at IS NULL AS first FROM esims
                WHERE provider = p.name AND status = 'CREATED' AND esim_tran_no IS NOT NULL
                  AND (next_poll_at IS NULL OR next_poll_at <= now())
                ORDER BY next_poll_at NULLS FIRST LIMIT $2 FOR UPDATE SKIP LOCKED
            ) e WHERE p.only_polled
        ), due AS (SELECT * FROM active UNION ALL SELECT * FROM created LIMIT $2)
        UPDATE esims e
        SET next_poll_at = now() + make_interval(secs => $1 * CASE WHEN first THEN random() ELSE 1 + random() / 10 END)
        FROM due WHERE e.id = due.id
        RETURNING e.id, e.provider, e.esim_tran_no, due.first
        """,
        interval_s,
        limit,
    )
    return [_due(row) for row in rows if not row["first"]], len(rows) == limit


async def claim_soonest(db: Session, provider: str, *, interval_s: float, limit: int) -> Sequence[DuePoll]:
    """Take those eSIMs of a provider that are due within a tenth of the interval, the soonest first; as `claim`."""
    rows = await db.conn.fetch(
        f"""
        WITH soonest AS (
            SELECT id FROM esims
            WHERE {_POLLED} AND provider = $3 AND next_poll_at <= now() + make_interval(secs => $1 / 10)
            ORDER BY next_poll_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        UPDATE esims e SET next_poll_at = now() + make_interval(secs => $1 * (1 + random() / 10))
        FROM soonest WHERE e.id = soonest.id
        RETURNING e.id, e.provider, e.esim_tran_no
        """,
        interval_s,
        limit,
        provider,
    )
    return [_due(row) for row in rows]


async def postpone(db: Session, esim_ids: Sequence[UUID], *, seconds: float) -> None:
    """Bring the next poll of the eSIMs forward, after one that failed."""
    await db.conn.execute(
        "UPDATE esims SET next_poll_at = now() + make_interval(secs => $2) WHERE id = ANY($1)", esim_ids, seconds
    )


def _due(row: asyncpg.Record) -> DuePoll:
    return DuePoll(row["id"], row["provider"], row["esim_tran_no"])
