"""The queue: pending deliveries. They are enqueued, claimed under a lease, released, sent again, cancelled.

All times are the database's clock. A claim carries the token of the lease, with which its result is written (results.py). A
delivery that has waited for 24 h beyond the end of its schedule fails for good, even in a lane that is disabled or cooling
down; otherwise it would keep its day of history for ever.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct, structs

from esimhooks.server.domain.delivery import SUSPECT_AT, Claimed, Delivery, OutcomeClass
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.operational import DeliveryFailed
from esimhooks.server.domain.schedule import MAX_JITTER
from esimhooks.server.store import events, lanes
from esimhooks.server.store.database import Session
from esimhooks.server.store.deliveries import response_row
from esimhooks.server.store.events import Content
from esimhooks.server.store.fifo import FIRST_DELAY, FifoKey, FifoSlot, advance, lock_tails
from esimhooks.server.store.freezing import IS_OPEN
from esimhooks.server.store.lanes import Lease
from esimhooks.server.store.statements import struct_of


async def enqueue(db: Session, deliveries: Sequence[Delivery]) -> None:
    """Enqueue deliveries that are new or are to be sent again. Needs a transaction.

    They are due after the first delay of their endpoint's schedule, mostly at once; in a FIFO not before they are its head.
    """
    keys = [FifoKey(one.endpoint_id, one.esim_id) if one.ordered and one.esim_id else None for one in deliveries]
    occupied = await lock_tails(db, {key for key in keys if key is not None})
    behind = []
    for key in keys:
        behind.append(key in occupied)
        if key is not None:
            occupied.add(key)
    await db.conn.execute(
        f"""
        INSERT INTO queue (delivery_id, account_id, endpoint_id, event_id, event_type, esim_id, ordered, attempts, claims,
                           due_at)
        SELECT delivery_id, account_id, endpoint_id, event_id, event_type, esim_id, ordered, attempts, attempts,
               CASE WHEN behind THEN 'infinity' ELSE greatest(now(), now() + {FIRST_DELAY}) END
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::boolean[], $8::int[],
                    $9::boolean[])
            AS q (delivery_id, account_id, endpoint_id, event_id, event_type, esim_id, ordered, attempts, behind)
        """,
        [delivery.id for delivery in deliveries],
        [delivery.tenant.account_id for delivery in deliveries],
        [delivery.endpoint_id for delivery in deliveries],
        [delivery.event_id for delivery in deliveries],
        [delivery.event_type for delivery in deliveries],
        [delivery.esim_id for delivery in deliveries],
        [delivery.ordered for delivery in deliveries],
        [delivery.attempts for delivery in deliveries],
        behind,
    )


class ClaimRequest(Struct, frozen=True):
    """How many more due deliveries the leaseholder of a lane has capacity for."""

    lease: Lease
    capacity: int


class Claims(Struct, frozen=True):
    """What was claimed, longest due first, and the events of which the bytes can be read."""

    claimed: Sequence[Claimed]
    contents: Mapping[UUID, Content]


async def claim(db: Session, requests: Sequence[ClaimRequest]) -> Claims:
    """Claim due deliveries of leased lanes and count the claims; none that this lease has claimed already.

    Of a FIFO only the head is claimed, and nothing while another of it is in flight. Claims of suspects are counted in
    `begin` instead. Rows that a later leaseholder has claimed or postponed while this statement waited are left alone.
    """
    rows = await db.conn.fetch(
        "SELECT * FROM claim_due($1, $2, $3, $4)",
        [request.lease.endpoint_id for request in requests],
        [request.lease.token for request in requests],
        [request.capacity for request in requests],
        SUSPECT_AT,
    )
    claimed = [struct_of(Claimed, row, endpoint_version=row["version"], lease_token=row["claim_token"]) for row in rows]
    by_event = {row["event_id"]: row for row in rows if row["sealed_body"] is not None}
    return Claims(claimed, events.readable_contents(db, by_event))


async def begin(db: Session, claimed: Claimed) -> bool:
    """Count the claim of a suspect that is about to be sent; false where its lease is lost."""
    return bool(
        await db.conn.fetchval(
            """
            UPDATE queue SET claims = claims + 1
            WHERE delivery_id = $1 AND claim_token = $2 AND position = $3 RETURNING true
            """,
            claimed.delivery_id,
            claimed.lease_token,
            claimed.position,
        )
    )


async def release_claims(db: Session, claimed: Sequence[Claimed]) -> None:
    """Release the claims of deliveries that were not started."""
    await db.conn.execute(
        """
        UPDATE queue q SET claim_token = 0, claims = c.claims
        FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[]) AS c (delivery_id, lease_token, position, claims)
        WHERE q.delivery_id = ANY (ARRAY[c.delivery_id]) AND q.claim_token = c.lease_token AND q.position = c.position
        """,
        [one.delivery_id for one in claimed],
        [one.lease_token for one in claimed],
        [one.position for one in claimed],
        [one.claims for one in claimed],
    )


async def send_again(db: Session, delivery: Delivery) -> bool:
    """Restart the schedule of a finished delivery, as the last of its FIFO where the endpoint keeps the order.

    False where it is pending already, or its endpoint is gone. Needs a transaction. The endpoint is locked first, in a
    statement of its own (docs/decisions/0006), so that it is neither deleted nor restarted by others meanwhile.
    """
    ordered = await db.conn.fetchval(
        "SELECT ordering = 'esim' FROM endpoints WHERE id = $1 FOR NO KEY UPDATE", delivery.endpoint_id
    )
    if ordered is None:
        return False
    attempts = await db.conn.fetchval(
        """
        UPDATE deliveries SET status = 'pending', finished_at = NULL, outcome = NULL, status_code = NULL
        WHERE id = $1 AND status <> 'pending' RETURNING attempts
        """,
        delivery.id,
    )
    if attempts is None:
        return False
    again = structs.replace(delivery, attempts=attempts, ordered=ordered and delivery.esim_id is not None)
    await enqueue(db, [again])
    return True


async def send_now(db: Session, delivery_id: UUID) -> None:
    """Have a pending delivery attempted now, and its lane end its cooldown; what waits behind others of its eSIM stays there.

    Needs a transaction. The lane is locked first (docs/decisions/0020).
    """
    endpoint_id = await db.conn.fetchval("SELECT endpoint_id FROM queue WHERE delivery_id = $1", delivery_id)
    await lanes.end_cooldown(db, endpoint_id)
    await db.conn.execute(
        "UPDATE queue SET due_at = now() WHERE delivery_id = $1 AND due_at > now() AND due_at < 'infinity'", delivery_id
    )


async def send_all_now(db: Session, endpoint_id: UUID, *, limit: int) -> int:
    """Do the same for what waits for its next attempt at an endpoint, the oldest first; return for how many."""
    await lanes.end_cooldown(db, endpoint_id)
    done = await db.conn.execute(
        """
        WITH waiting AS (
            SELECT delivery_id FROM queue WHERE endpoint_id = $1 AND due_at > now() AND due_at < 'infinity'
            ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        UPDATE queue q SET due_at = now() FROM waiting w WHERE q.delivery_id = ANY (ARRAY[w.delivery_id])
        """,
        endpoint_id,
        limit,
    )
    return int(done.split()[-1])


async def cancel(db: Session, delivery_id: UUID, *, now: datetime) -> bool:
    """Cancel a pending delivery; false where it is not pending. Needs a transaction (docs/decisions/0006)."""
    waited = await db.conn.fetchrow(
        "DELETE FROM queue WHERE delivery_id = $1 RETURNING endpoint_id, esim_id, ordered, position", delivery_id
    )
    if waited is None:
        return False
    if waited["ordered"]:
        await advance(db, [FifoSlot(waited["endpoint_id"], waited["esim_id"], waited["position"])])
    await db.conn.execute(
        "UPDATE deliveries SET status = 'cancelled', finished_at = $2 WHERE id = $1", delivery_id, now
    )
    return True


MAX_OVERDUE = timedelta(hours=24)
"""How long beyond the end of its schedule a delivery may wait (`docs/concepts.md`, "Delivery")."""
WHY = "it waited 24 h beyond the end of its schedule without getting its turn. Sending it again starts a new schedule"


async def fail_overdue(
    db: Session, *, now: datetime, limit: int, retention: timedelta = timedelta(days=30)
) -> Sequence[DeliveryFailed]:
    """Fail deliveries that have waited for too long by the database's clock; return them. Needs a transaction.

    What waits for a paused endpoint fails after `retention`, when its day of history is due to go; once the endpoint is
    resumed, it has its 24 h from then on. What waits for a frozen account does not fail: it goes on elsewhere, or here.

    Claimed deliveries are left alone, and those whose next attempt is in the future or has been due for less than a day: a
    receiver may ask for a pause of a day each time. Faults in this server postpone without limit and count as waiting. The rows
    leave the queue first, in a statement of their own (docs/decisions/0006). `now` (aware UTC) is shown in the history.
    """
    rows = await db.conn.fetch(
        f"""
        WITH allowed AS (
            SELECT e.id, CASE WHEN e.paused THEN $4::interval ELSE
                   $1::interval + make_interval(secs => $2::float8 * (SELECT sum(s) FROM unnest(e.retry_schedule) s))
                   END AS span,
                   CASE WHEN e.paused THEN '-infinity' ELSE coalesce(e.switched_at, '-infinity') END AS switched_at
            FROM endpoints e
        ), overdue AS (
            SELECT q.delivery_id FROM queue q
            JOIN allowed a ON a.id = q.endpoint_id
            JOIN lanes l ON l.endpoint_id = q.endpoint_id
            WHERE q.{IS_OPEN} AND q.started_at <= now() - $1::interval AND greatest(q.started_at, a.switched_at) <= now() - a.span
              AND (q.due_at <= now() - $1::interval OR q.due_at = 'infinity' OR q.faults > 0)
              AND NOT (q.claim_token = l.lease_token AND coalesce(l.leased_until > now(), false))
            LIMIT $3 FOR UPDATE OF q SKIP LOCKED
        )
        DELETE FROM queue q USING overdue o WHERE q.delivery_id = ANY (ARRAY[o.delivery_id])
        RETURNING q.delivery_id, q.account_id, q.endpoint_id, q.event_id, q.event_type, q.esim_id, q.attempts, q.ordered,
                  q.position
        """,
        MAX_OVERDUE,
        1 + MAX_JITTER,
        limit,
        retention,
    )
    if not rows:
        return []
    await advance(db, [FifoSlot(row["endpoint_id"], row["esim_id"], row["position"]) for row in rows if row["ordered"]])
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
        UPDATE deliveries d SET status = 'failed', outcome = 'internal', status_code = NULL, finished_at = $6
        FROM made m WHERE d.id = m.delivery_id AND d.id = ANY ($1)
        """,
        [row["delivery_id"] for row in rows],
        [row["account_id"] for row in rows],
        attempt_ids,
        [row["attempts"] + 1 for row in rows],
        [db.cipher.encrypt(b"", row=response_row(attempt_id)) for attempt_id in attempt_ids],
        now,
        WHY,
    )
    return [struct_of(DeliveryFailed, row, outcome=OutcomeClass.INTERNAL, error=WHY) for row in rows]
