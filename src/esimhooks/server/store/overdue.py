"""Deliveries that have waited for too long: 24 h beyond the end of their schedule they fail for good.

So does what waits for a lane that rests or is closed; otherwise it would wait, and keep its day of history, for ever.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg

from esimhooks.server.domain.delivery import OutcomeClass
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.operational import DeliveryFailed
from esimhooks.server.domain.schedule import JITTER
from esimhooks.server.store.database import Session
from esimhooks.server.store.deliveries import response_row
from esimhooks.server.store.esim_lines import Place, move_up

PATIENCE = timedelta(hours=24)
"""How long beyond the end of its schedule a delivery may wait (delivery, "Breaker")."""
WHY = "it waited 24 h beyond the end of its schedule without getting its turn. Sending it again starts a new schedule"


async def fail_overdue(db: Session, *, now: datetime, limit: int) -> Sequence[DeliveryFailed]:
    """Fail deliveries that have waited for too long by the database's clock; return them. Needs a transaction.

    What a dispatcher has in hand is left alone, and what has its next attempt before it, or has had it due for less than
    a day: a receiver may ask for a pause of a day each time. Faults of ours put off for ever and count as waiting. The
    rows are taken out of the queue first, by themselves (docs/decisions/0006). `now` (aware UTC) is what the history shows.
    """
    rows = await db.conn.fetch(
        """
        WITH patience AS (
            SELECT e.id, $1::interval + make_interval(secs => $2::float8 * (SELECT sum(s) FROM unnest(e.retry_schedule) s))
                   AS span
            FROM endpoints e
        ), overdue AS (
            SELECT q.delivery_id FROM queue q
            JOIN patience p ON p.id = q.endpoint_id
            JOIN lanes l ON l.endpoint_id = q.endpoint_id
            WHERE q.started_at <= now() - $1::interval AND q.started_at <= now() - p.span
              AND (q.due_at <= now() - $1::interval OR q.due_at = 'infinity' OR q.faults > 0)
              AND NOT (q.claim_token = l.lease_token AND coalesce(l.leased_until > now(), false))
            LIMIT $3 FOR UPDATE OF q SKIP LOCKED
        )
        DELETE FROM queue q USING overdue o WHERE q.delivery_id = ANY (ARRAY[o.delivery_id])
        RETURNING q.delivery_id, q.account_id, q.endpoint_id, q.event_id, q.event_type, q.esim_id, q.attempts, q.ordered,
                  q.position
        """,
        PATIENCE,
        1 + JITTER,
        limit,
    )
    if not rows:
        return []
    await move_up(db, [Place(row["endpoint_id"], row["esim_id"], row["position"]) for row in rows if row["ordered"]])
    attempt_ids = [new_id() for _ in rows]
    await db.conn.execute(
        """
        WITH made AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::bytea[])
                AS m (delivery_id, account_id, attempt_id, number, sealed_body)
        ), logged AS (
            INSERT INTO attempts (id, account_id, delivery_id, number, started_at, duration_ms, outcome, error,
                                  response_headers, sealed_body)
            SELECT attempt_id, account_id, delivery_id, number, $6, 0, 'internal', $7, '[]', sealed_body FROM made
        )
        UPDATE deliveries d SET status = 'failed', finished_at = $6 FROM made m WHERE d.id = m.delivery_id
        """,
        [row["delivery_id"] for row in rows],
        [row["account_id"] for row in rows],
        attempt_ids,
        [row["attempts"] + 1 for row in rows],
        [db.sealer.seal(b"", row=response_row(attempt_id)) for attempt_id in attempt_ids],
        now,
        WHY,
    )
    return [_failed(row) for row in rows]


def _failed(row: asyncpg.Record) -> DeliveryFailed:
    return DeliveryFailed(
        account_id=row["account_id"],
        endpoint_id=row["endpoint_id"],
        delivery_id=row["delivery_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        attempts=row["attempts"],
        outcome=OutcomeClass.INTERNAL,
        error=WHY,
    )
