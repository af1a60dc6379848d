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
from esimhooks.server.store.deliveries import encrypt_answer
from esimhooks.server.store.fifo import FifoSlot, advance

DISABLED_AFTER = timedelta(days=5)
"""An endpoint all of whose attempts have failed for so long is disabled (`docs/concepts.md`, "Delivery")."""


WITHOUT_FOLLOW_UP = frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.PENDING})


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

    `is_enabled` and `endpoint_version` are the state of lane and endpoint when the result was written, for the leaseholder,
    which may not know of a change yet.
    """

    stored: bool
    disabled: DisabledReason | None = None
    is_enabled: bool = False
    endpoint_version: int = 0
    next_is_due: bool = False
    """Whether the next delivery of its FIFO became due."""


def follow_up_of(result: Result) -> bool:
    """Return whether more is written than the attempt and its delivery, so that `write_results` needs a transaction."""
    return result.claimed.ordered or result.transition is not None or result.verdict.status not in WITHOUT_FOLLOW_UP


async def write_results(db: Session, results: Sequence[Result]) -> list[Written]:
    """Write attempts and what follows from them; return what became of each.

    Needs a transaction where `follow_up_of` any of them is true; otherwise this is one statement. A result is either
    dropped or in time: lanes and queue rows are locked before anything is written.
    """
    locked_endpoints = await _lock_endpoints(db, results)
    locked = await _write_attempts(db, results)
    valid = [results[index] for index in sorted(locked)]
    advanced = await advance(
        db,
        [
            standing.slot
            for index, standing in locked.items()
            if standing.slot is not None and results[index].verdict.status is not DeliveryStatus.PENDING
        ],
    )
    to_disable = await _write_breakers(db, valid)
    to_disable |= {result.claimed.endpoint_id: DisabledReason.GONE for result in valid if result.verdict.endpoint_gone}
    disabled = await _disable(db, {one: reason for one, reason in to_disable.items() if one in locked_endpoints})
    causes = _causes(valid, disabled)
    return [
        Written(
            stored=True,
            disabled=causes.get(result.claimed.delivery_id),
            is_enabled=standing.is_enabled and result.claimed.endpoint_id not in disabled,
            endpoint_version=standing.version,
            next_is_due=standing.slot in advanced,
        )
        if (standing := locked.get(index)) is not None
        else Written(stored=False)
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


async def _lock_endpoints(db: Session, results: Sequence[Result]) -> set[UUID]:
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


class _LeaseCheck(Struct, frozen=True):
    """The lane of a valid result, and the present version of its endpoint.

    `slot` is the delivery's slot in the FIFO of its eSIM, None where no order is kept.
    """

    is_enabled: bool
    version: int
    slot: FifoSlot | None


async def _write_attempts(db: Session, results: Sequence[Result]) -> dict[int, _LeaseCheck]:
    """Write the attempts of results whose lease is still valid; return their lanes by the index of the result."""
    attempt_ids = [new_id() for _ in results]
    rows = await db.conn.fetch(
        f"SELECT * FROM write_results({', '.join(f'${number}' for number in range(1, 19))})",
        [result.claimed.delivery_id for result in results],
        [result.claimed.endpoint_id for result in results],
        [result.claimed.lease_token for result in results],
        [result.claimed.position for result in results],
        [result.claimed.attempts for result in results],
        [result.claimed.faults for result in results],
        [result.claimed.account_id for result in results],
        attempt_ids,
        [result.outcome.started_at for result in results],
        [result.outcome.duration_ms for result in results],
        [result.outcome.outcome for result in results],
        [result.outcome.status_code for result in results],
        [result.outcome.error for result in results],
        [
            encrypt_answer(db, attempt_id, result.outcome.headers, result.outcome.body)
            for attempt_id, result in zip(attempt_ids, results, strict=True)
        ],
        [result.outcome.dialled for result in results],
        [result.verdict.status for result in results],
        [result.verdict.delay_s for result in results],
        [int(result.verdict.counts) for result in results],
    )
    return {
        row["ordinal"] - 1: _LeaseCheck(
            row["is_open"],
            row["version"],
            FifoSlot(results[row["ordinal"] - 1].claimed.endpoint_id, row["esim_id"], row["position"])
            if row["ordered"]
            else None,
        )
        for row in rows
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
    """Disable endpoints, which are locked, and their lanes, and end their pauses; pending deliveries stay.

    Return those that were enabled.
    """
    if not endpoints:
        return {}
    rows = await db.conn.fetch(
        """
        UPDATE endpoints e
        SET enabled = false, paused = false, disabled_reason = d.reason, version = version + 1, updated_at = now(),
            switched_at = now()
        FROM unnest($1::uuid[], $2::text[]) AS d (id, reason) WHERE e.id = d.id AND e.enabled RETURNING e.id
        """,
        list(endpoints),
        list(endpoints.values()),
    )
    await db.conn.execute("UPDATE lanes SET open = false WHERE endpoint_id = ANY($1)", list(endpoints))
    return {row["id"]: endpoints[row["id"]] for row in rows}
