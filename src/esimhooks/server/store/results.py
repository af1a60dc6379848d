"""Results of attempts: many are written in one transaction, each guarded by the lease under which it was made.

In come outcomes with their verdicts and breaker transitions; out goes what became of each. A result whose lease has passed to
another is dropped. Locks are taken in the order of docs/decisions/0020: endpoints, lanes, queue.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.breaker import Transition
from esimhooks.server.domain.delivery import Claimed, DeliveryStatus, Outcome, Verdict
from esimhooks.server.domain.endpoint import DisabledReason
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store.database import Session
from esimhooks.server.store.deliveries import WITHIN_BODY, sealed_answer
from esimhooks.server.store.fifo import FifoSlot, advance

DISABLED_AFTER = timedelta(days=5)
"""An endpoint all of whose attempts have failed for so long is disabled (delivery, "Per endpoint")."""


class Result(Struct, frozen=True, kw_only=True):
    """The outcome of an attempt and what follows from it, to be written under the lease of its claim.

    `transition` is that of the lane's breaker; None where nothing changes.
    """

    claimed: Claimed
    outcome: Outcome
    verdict: Verdict
    transition: Transition | None = None


class Written(Struct, frozen=True):
    """What became of a result: whether it was kept, and why it disabled the endpoint, if it did.

    `is_open` and `endpoint_version` are the state of lane and endpoint when the result was written, for the leaseholder,
    which may not know of a change yet.
    """

    kept: bool
    disabled: DisabledReason | None = None
    is_open: bool = False
    endpoint_version: int = 0


async def write_results(db: Session, results: Sequence[Result]) -> list[Written]:
    """Write attempts and what follows from them; return what became of each. Needs a transaction.

    Lanes and queue rows are locked first, in a statement of their own, so that a result is either dropped or in time, and
    no row changes under the statement that writes: PostgreSQL 18 without the fix of its rechecks crashes when a statement
    waits for a row and also prunes partitions at run time (docs/decisions/0006).
    """
    at_stake = await _lock_at_stake(db, results)
    locked = await _lock_valid(db, results)
    valid = [results[index] for index in sorted(locked)]
    if not valid:
        return [Written(kept=False)] * len(results)
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
            DELETE FROM queue q USING made m WHERE q.delivery_id = ANY (ARRAY[m.delivery_id]) AND m.status <> 'pending'
        ), again AS (
            UPDATE queue q
            SET due_at = now() + make_interval(secs => m.delay_s), claim_token = 0,
                attempts = q.attempts + m.counted, attempts_this_round = q.attempts_this_round + m.counted,
                claims = q.attempts + m.counted, faults = CASE m.counted WHEN 1 THEN 0 ELSE q.faults + 1 END
            FROM made m WHERE q.delivery_id = ANY (ARRAY[m.delivery_id]) AND m.status = 'pending'
        )
        UPDATE deliveries d
        SET status = m.status, attempts = d.attempts + m.counted, outcome = m.outcome, status_code = m.status_code,
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
        [WITHIN_BODY] * len(valid),
        [
            sealed_answer(db, attempt_id, result.outcome.headers, result.outcome.body)
            for attempt_id, result in zip(attempt_ids, valid, strict=True)
        ],
        [result.outcome.dialled for result in valid],
        [result.verdict.status for result in valid],
        [result.verdict.delay_s for result in valid],
        [int(result.verdict.counts) for result in valid],
    )
    finished = [
        standing for index, standing in locked.items() if results[index].verdict.status is not DeliveryStatus.PENDING
    ]
    await advance(db, [standing.slot for standing in finished if standing.slot is not None])
    doomed = await _write_breakers(db, valid)
    doomed |= {result.claimed.endpoint_id: DisabledReason.GONE for result in valid if result.verdict.endpoint_gone}
    disabled = await _disable(db, {one: reason for one, reason in doomed.items() if one in at_stake})
    causes = _causes(valid, disabled)
    return [
        Written(
            kept=True,
            disabled=causes.get(result.claimed.delivery_id),
            is_open=standing.is_open and result.claimed.endpoint_id not in disabled,
            endpoint_version=standing.version,
        )
        if (standing := locked.get(index)) is not None
        else Written(kept=False)
        for index, result in enumerate(results)
    ]


def _causes(results: Sequence[Result], disabled: Mapping[UUID, DisabledReason]) -> dict[UUID, DisabledReason]:
    """Return for which delivery each endpoint was disabled, and why: one result stands for each endpoint."""
    chosen: dict[UUID, Result] = {}
    for result in results:
        first = chosen.setdefault(result.claimed.endpoint_id, result)
        if result.verdict.endpoint_gone and not first.verdict.endpoint_gone:
            chosen[result.claimed.endpoint_id] = result
    return {chosen[endpoint_id].claimed.delivery_id: reason for endpoint_id, reason in disabled.items()}


async def _lock_at_stake(db: Session, results: Sequence[Result]) -> set[UUID]:
    """Lock and return the endpoints that these results may disable: an endpoint is locked before its lane."""
    gone = {result.claimed.endpoint_id for result in results if result.verdict.endpoint_gone}
    failing = {
        result.claimed.endpoint_id
        for result in results
        if result.transition is not None and result.transition.state.failures
    }
    if not gone and not failing:
        return set()
    rows = await db.conn.fetch(
        """
        SELECT e.id FROM endpoints e
        WHERE e.id = ANY($1) OR e.id = ANY($2) AND EXISTS (
            SELECT FROM lanes l WHERE l.endpoint_id = e.id AND l.failing_since <= now() - $3::interval)
        ORDER BY e.id FOR NO KEY UPDATE OF e
        """,
        list(gone),
        list(failing),
        DISABLED_AFTER,
    )
    return {row["id"] for row in rows}


class _Standing(Struct, frozen=True):
    """The lane of a valid result, and the present version of its endpoint.

    `slot` is the delivery's slot in the FIFO of its eSIM, None where no order is kept.
    """

    is_open: bool
    version: int
    slot: FifoSlot | None


async def _lock_valid(db: Session, results: Sequence[Result]) -> dict[int, _Standing]:
    """Lock the lanes and queue rows of results whose lease is still valid; return their lanes by the index of the result.

    Position, attempts and faults tell apart two claims under one lease: a result whose commit went unanswered is written
    again, and by then its delivery may be in flight once more, or cancelled and sent again. Of two results of one delivery
    in a batch at most one counts.
    """
    rows = await db.conn.fetch(
        """
        SELECT r.ordinal, q.delivery_id, q.endpoint_id, q.esim_id, q.position, q.ordered, l.open, e.version
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::int[], $6::int[]) WITH ORDINALITY
            AS r (delivery_id, endpoint_id, lease_token, position, attempts, faults, ordinal)
        JOIN lanes l ON l.endpoint_id = r.endpoint_id AND l.lease_token = r.lease_token
        JOIN queue q ON q.delivery_id = ANY (ARRAY[r.delivery_id]) AND q.claim_token = r.lease_token
            AND q.position = r.position AND q.attempts = r.attempts AND q.faults = r.faults
        JOIN endpoints e ON e.id = l.endpoint_id
        ORDER BY l.endpoint_id, q.delivery_id FOR NO KEY UPDATE OF l FOR UPDATE OF q
        """,
        [result.claimed.delivery_id for result in results],
        [result.claimed.endpoint_id for result in results],
        [result.claimed.lease_token for result in results],
        [result.claimed.position for result in results],
        [result.claimed.attempts for result in results],
        [result.claimed.faults for result in results],
    )
    one_each = {row["delivery_id"]: row for row in rows}
    return {
        row["ordinal"] - 1: _Standing(
            row["open"],
            row["version"],
            FifoSlot(row["endpoint_id"], row["esim_id"], row["position"]) if row["ordered"] else None,
        )
        for row in one_each.values()
    }


async def _write_breakers(db: Session, results: Sequence[Result]) -> dict[UUID, DisabledReason]:
    """Write the state of the breakers; return the endpoints all of whose attempts have failed for too long."""
    by_lane = {
        (result.claimed.endpoint_id, result.claimed.lease_token): (result.transition, result.outcome)
        for result in results
        if result.transition is not None
    }
    if not by_lane:
        return {}
    rows = await db.conn.fetch(
        """
        UPDATE lanes l
        SET failures = s.failures, allowed = s.allowed,
            held_until = CASE WHEN s.cooldown_s IS NULL THEN l.held_until ELSE now() + make_interval(secs => s.cooldown_s) END,
            failing_since = CASE WHEN s.failures = 0 THEN NULL ELSE coalesce(l.failing_since, now()) END,
            failure_outcome = CASE WHEN s.failures = 0 THEN l.failure_outcome ELSE s.outcome END,
            failure_status = CASE WHEN s.failures = 0 THEN l.failure_status ELSE s.status_code END,
            failure_error = CASE WHEN s.failures = 0 THEN l.failure_error ELSE s.error END,
            failed_at = CASE WHEN s.failures = 0 THEN l.failed_at ELSE now() END
        FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::int[], $5::float8[], $7::text[], $8::int[], $9::text[])
            AS s (endpoint_id, lease_token, failures, allowed, cooldown_s, outcome, status_code, error)
        WHERE l.endpoint_id = s.endpoint_id AND l.lease_token = s.lease_token
        RETURNING l.endpoint_id, l.failing_since <= now() - $6::interval AS too_long
        """,
        [endpoint_id for endpoint_id, _ in by_lane],
        [token for _, token in by_lane],
        [transition.state.failures for transition, _ in by_lane.values()],
        [transition.state.allowed for transition, _ in by_lane.values()],
        [transition.cooldown_s for transition, _ in by_lane.values()],
        DISABLED_AFTER,
        [outcome.outcome for _, outcome in by_lane.values()],
        [outcome.status_code for _, outcome in by_lane.values()],
        [outcome.error for _, outcome in by_lane.values()],
    )
    return {row["endpoint_id"]: DisabledReason.FAILING for row in rows if row["too_long"]}


async def _disable(db: Session, endpoints: Mapping[UUID, DisabledReason]) -> dict[UUID, DisabledReason]:
    """Disable endpoints, which are locked, and their lanes; pending deliveries stay. Return those that were enabled."""
    if not endpoints:
        return {}
    rows = await db.conn.fetch(
        """
        UPDATE endpoints e
        SET enabled = false, disabled_reason = d.reason, version = version + 1, updated_at = now(), switched_at = now()
        FROM unnest($1::uuid[], $2::text[]) AS d (id, reason) WHERE e.id = d.id AND e.enabled RETURNING e.id
        """,
        list(endpoints),
        list(endpoints.values()),
    )
    await db.conn.execute("UPDATE lanes SET open = false WHERE endpoint_id = ANY($1)", list(endpoints))
    return {row["id"]: endpoints[row["id"]] for row in rows}
