"""Lanes: leasing them, taking up their due deliveries, writing outcomes.

All times are the database's clock. A lease carries a fencing token: what its holder writes after the lease went to
another is dropped. Lanes are locked in the order of their endpoints, so that two statements cannot wait for each other.
"""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from esimhooks.server.model.delivery import Claimed, Delivery, Outcome, Verdict
from esimhooks.server.model.ids import new_id
from esimhooks.server.store.database import Session
from esimhooks.server.store.deliveries import response_row


class Lease(Struct, frozen=True):
    """The right to send a lane's deliveries until it ends."""

    endpoint_id: UUID
    token: int


class Result(Struct, frozen=True, kw_only=True):
    """One attempt's outcome and what follows from it, to be written under the lease it was made with."""

    claimed: Claimed
    outcome: Outcome
    verdict: Verdict


async def enqueue(db: Session, deliveries: Sequence[Delivery]) -> None:
    """Put deliveries that are new, or are to be sent again, into their lanes, due at once."""
    await db.conn.execute(
        """
        INSERT INTO queue (delivery_id, account_id, endpoint_id, event_id, event_type, esim_id, ordered, attempts, due_at)
        SELECT *, now()
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::boolean[], $8::int[])
        """,
        [delivery.id for delivery in deliveries],
        [delivery.tenant.account_id for delivery in deliveries],
        [delivery.endpoint_id for delivery in deliveries],
        [delivery.event_id for delivery in deliveries],
        [delivery.event_type for delivery in deliveries],
        [delivery.esim_id for delivery in deliveries],
        [delivery.ordered for delivery in deliveries],
        [delivery.attempts for delivery in deliveries],
    )


async def lease(db: Session, *, holder: UUID, seconds: float, limit: int) -> Sequence[Lease]:
    """Lease open lanes that have work due and no holder; those that waited longest come first.

    Lanes with pending work are found by skipping from one to the next in the index, however long each is.
    """
    rows = await db.conn.fetch(
        """
        WITH RECURSIVE waiting AS (
            (SELECT endpoint_id, due_at FROM queue ORDER BY endpoint_id, due_at LIMIT 1)
            UNION ALL
            SELECT n.endpoint_id, n.due_at FROM waiting w CROSS JOIN LATERAL (
                SELECT endpoint_id, due_at FROM queue WHERE endpoint_id > w.endpoint_id
                ORDER BY endpoint_id, due_at LIMIT 1
            ) n
        ), free AS (
            SELECT l.endpoint_id FROM waiting w JOIN lanes l USING (endpoint_id)
            WHERE w.due_at <= now() AND l.open AND (l.leased_until IS NULL OR l.leased_until <= now())
            ORDER BY w.due_at LIMIT $3 FOR UPDATE OF l SKIP LOCKED
        )
        UPDATE lanes l
        SET lease_token = l.lease_token + 1, leased_by = $1, leased_until = now() + make_interval(secs => $2)
        FROM free WHERE l.endpoint_id = free.endpoint_id
        RETURNING l.endpoint_id, l.lease_token
        """,
        holder,
        seconds,
        limit,
    )
    return [Lease(row["endpoint_id"], row["lease_token"]) for row in rows]


async def renew(db: Session, leases: Sequence[Lease], *, seconds: float) -> set[UUID]:
    """Renew leases; return the endpoints of those that still hold and whose lane is still open."""
    rows = await db.conn.fetch(
        """
        WITH held AS (
            SELECT endpoint_id FROM lanes
            JOIN unnest($1::uuid[], $2::bigint[]) AS h (endpoint_id, lease_token) USING (endpoint_id, lease_token)
            WHERE open ORDER BY endpoint_id FOR NO KEY UPDATE OF lanes
        )
        UPDATE lanes l SET leased_until = now() + make_interval(secs => $3)
        FROM held WHERE l.endpoint_id = held.endpoint_id RETURNING l.endpoint_id
        """,
        [held.endpoint_id for held in leases],
        [held.token for held in leases],
        seconds,
    )
    return {row["endpoint_id"] for row in rows}


async def release(db: Session, leases: Sequence[Lease]) -> None:
    """Give leases back, so that others need not wait for their end."""
    await db.conn.execute(
        """
        WITH held AS (
            SELECT endpoint_id FROM lanes
            JOIN unnest($1::uuid[], $2::bigint[]) AS h (endpoint_id, lease_token) USING (endpoint_id, lease_token)
            ORDER BY endpoint_id FOR NO KEY UPDATE OF lanes
        )
        UPDATE lanes l SET leased_by = NULL, leased_until = NULL FROM held WHERE l.endpoint_id = held.endpoint_id
        """,
        [held.endpoint_id for held in leases],
        [held.token for held in leases],
    )


async def release_all(db: Session) -> None:
    """End all leases at once; only where it is certain that no other node runs."""
    await db.conn.execute("UPDATE lanes SET leased_by = NULL, leased_until = NULL WHERE leased_until IS NOT NULL")


class Wish(Struct, frozen=True):
    """How many more due deliveries a lane's holder can take up."""

    lease: Lease
    room: int


async def take(db: Session, wishes: Sequence[Wish]) -> Sequence[Claimed]:
    """Take up due deliveries of leased lanes and count the claim; none that this lease has taken already."""
    rows = await db.conn.fetch(
        """
        WITH due AS (
            SELECT q.delivery_id, w.lease_token, e.version
            FROM unnest($1::uuid[], $2::bigint[], $3::int[]) AS w (endpoint_id, lease_token, room)
            JOIN lanes l ON l.endpoint_id = w.endpoint_id AND l.lease_token = w.lease_token AND l.open
            JOIN endpoints e ON e.id = w.endpoint_id
            CROSS JOIN LATERAL (
                SELECT delivery_id FROM queue q
                WHERE q.endpoint_id = w.endpoint_id AND q.due_at <= now() AND q.claim_token <> w.lease_token
                ORDER BY q.due_at LIMIT w.room
            ) q
        )
        UPDATE queue q SET claim_token = due.lease_token, claims = q.claims + 1
        FROM due WHERE q.delivery_id = due.delivery_id
        RETURNING q.delivery_id, q.account_id, q.endpoint_id, due.version, q.event_id, q.event_type, q.attempts,
                  q.attempts_this_round, q.claims, q.claim_token, q.due_at
        """,
        [wish.lease.endpoint_id for wish in wishes],
        [wish.lease.token for wish in wishes],
        [wish.room for wish in wishes],
    )
    return [
        Claimed(
            delivery_id=row["delivery_id"],
            account_id=row["account_id"],
            endpoint_id=row["endpoint_id"],
            endpoint_version=row["version"],
            event_id=row["event_id"],
            event_type=row["event_type"],
            attempts=row["attempts"],
            attempts_this_round=row["attempts_this_round"],
            claims=row["claims"],
            lease_token=row["claim_token"],
        )
        for row in sorted(rows, key=lambda row: (row["due_at"], row["delivery_id"]))
    ]


async def put_back(db: Session, claimed: Sequence[Claimed]) -> None:
    """Undo the claim of deliveries that were taken up and not begun."""
    await db.conn.execute(
        """
        UPDATE queue q SET claim_token = 0, claims = q.claims - 1
        FROM unnest($1::uuid[], $2::bigint[]) AS c (delivery_id, lease_token)
        WHERE q.delivery_id = c.delivery_id AND q.claim_token = c.lease_token
        """,
        [one.delivery_id for one in claimed],
        [one.lease_token for one in claimed],
    )


async def write_results(db: Session, results: Sequence[Result]) -> set[UUID]:
    """Write attempts and what follows from them; return the deliveries whose lease still held. Needs a transaction.

    Lanes and queue rows are locked first and by themselves, so that a result is either dropped or in time, and no row
    changes under the statement that writes: PostgreSQL 18 before the fix of its rechecks crashes where a statement
    waits for a row and also finds partitions as it runs (docs/decisions/0006).
    """
    held = await _hold(db, results)
    valid = [result for result in results if result.claimed.delivery_id in held]
    if not valid:
        return set()
    attempt_ids = [new_id() for _ in valid]
    await db.conn.execute(
        """
        WITH made AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::timestamptz[], $6::int[],
                                 $7::text[], $8::int[], $9::text[], $10::jsonb[], $11::bytea[], $12::text[],
                                 $13::text[], $14::float8[], $15::int[])
                AS r (delivery_id, account_id, attempt_id, number, started_at, duration_ms,
                      outcome, status_code, error, response_headers, sealed_body, dialled,
                      status, delay_s, counted)
        ), logged AS (
            INSERT INTO attempts (id, account_id, delivery_id, number, started_at, duration_ms, outcome, status_code,
                                  error, response_headers, sealed_body, dialled)
            SELECT attempt_id, account_id, delivery_id, number, started_at, duration_ms, outcome, status_code,
                   error, response_headers, sealed_body, dialled FROM made
        ), finished AS (
            DELETE FROM queue q USING made m WHERE q.delivery_id = m.delivery_id AND m.status <> 'pending'
        ), again AS (
            UPDATE queue q
            SET due_at = now() + make_interval(secs => m.delay_s), claim_token = 0,
                attempts = q.attempts + m.counted, attempts_this_round = q.attempts_this_round + m.counted,
                claims = q.claims - 1 + m.counted
            FROM made m WHERE q.delivery_id = m.delivery_id AND m.status = 'pending'
        )
        UPDATE deliveries d
        SET status = m.status, attempts = d.attempts + m.counted,
            finished_at = CASE WHEN m.status <> 'pending' THEN now() END
        FROM made m WHERE d.id = m.delivery_id
        """,
        [result.claimed.delivery_id for result in valid],
        [result.claimed.account_id for result in valid],
        attempt_ids,
        [result.claimed.attempts + 1 for result in valid],
        [result.outcome.started_at for result in valid],
        [result.outcome.duration_ms for result in valid],
        [result.outcome.outcome for result in valid],
        [result.outcome.status_code for result in valid],
        [result.outcome.error for result in valid],
        [result.outcome.headers for result in valid],
        [
            db.sealer.seal(result.outcome.body, row=response_row(attempt_id))
            for attempt_id, result in zip(attempt_ids, valid, strict=True)
        ],
        [result.outcome.dialled for result in valid],
        [result.verdict.status for result in valid],
        [result.verdict.delay_s for result in valid],
        [int(result.verdict.counts) for result in valid],
    )
    await _close(db, {result.claimed.endpoint_id for result in valid if result.verdict.endpoint_gone})
    return held


async def _hold(db: Session, results: Sequence[Result]) -> set[UUID]:
    """Lock the lanes and queue rows of results whose lease still holds, and return their deliveries."""
    rows = await db.conn.fetch(
        """
        SELECT q.delivery_id
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS r (delivery_id, endpoint_id, lease_token)
        JOIN lanes l ON l.endpoint_id = r.endpoint_id AND l.lease_token = r.lease_token
        JOIN queue q ON q.delivery_id = r.delivery_id AND q.claim_token = r.lease_token
        ORDER BY l.endpoint_id, q.delivery_id FOR SHARE OF l FOR UPDATE OF q
        """,
        [result.claimed.delivery_id for result in results],
        [result.claimed.endpoint_id for result in results],
        [result.claimed.lease_token for result in results],
    )
    return {row["delivery_id"] for row in rows}


async def _close(db: Session, gone: set[UUID]) -> None:
    """Disable endpoints that answered 410 and close their lanes; what they hold stays."""
    if not gone:
        return
    await db.conn.execute(
        """
        UPDATE endpoints SET enabled = false, disabled_reason = 'gone', version = version + 1, updated_at = now()
        WHERE enabled AND id = ANY($1)
        """,
        gone,
    )
    await db.conn.execute("UPDATE lanes SET open = false WHERE endpoint_id = ANY($1)", gone)


async def send_again(db: Session, delivery: Delivery) -> bool:
    """Start the schedule of a finished delivery anew; false where it is pending already. Needs a transaction."""
    again = await db.conn.fetchval(
        """
        UPDATE deliveries SET status = 'pending', finished_at = NULL
        WHERE id = $1 AND status <> 'pending' RETURNING true
        """,
        delivery.id,
    )
    if again:
        await db.conn.execute(
            """
            INSERT INTO queue (delivery_id, account_id, endpoint_id, event_id, event_type, esim_id, due_at, attempts)
            VALUES ($1, $2, $3, $4, $5, $6, now(), $7)
            """,
            delivery.id,
            delivery.tenant.account_id,
            delivery.endpoint_id,
            delivery.event_id,
            delivery.event_type,
            delivery.esim_id,
            delivery.attempts,
        )
    return bool(again)
