"""Facts about lanes for the health of endpoints, and the alerts that follow from them.

Whose endpoints: one tenant's, or without a tenant all, for operators. Every count is bounded, so no backlog makes a look slow.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from esimhooks.server.domain.delivery import OutcomeClass
from esimhooks.server.domain.endpoint import DisabledReason, Tenant
from esimhooks.server.domain.health import ALERT_AFTER, EndpointState, LaneFacts, LastFailure, health_of, state_of
from esimhooks.server.domain.operational import EndpointFailing, EndpointRecovered
from esimhooks.server.domain.stats import UnhealthyEndpoint
from esimhooks.server.store.database import Session
from esimhooks.server.store.statements import struct_of, tenant_of

MAX_WAITING = 1000
FAILED_TWICE = 2
"""Attempts after which a delivery that waits for the next one says that its endpoint fails: one failure may be chance."""

FACTS = """
    e.enabled, e.disabled_reason, e.paused, e.switched_at, l.failures, l.failing_since, l.allowed, l.held_until,
    l.failure_outcome, l.failure_status, l.failure_error, l.failed_at
"""
COUNTED = """
    CROSS JOIN LATERAL (
        SELECT count(*) AS waiting, min(started_at) AS waiting_since, nullif(min(due_at), 'infinity') AS next_attempt_at
        FROM (SELECT started_at, due_at FROM queue WHERE endpoint_id = e.id ORDER BY due_at LIMIT {limit}) one
    ) waiting
    CROSS JOIN LATERAL (
        SELECT count(*) AS retrying, min(started_at) AS retrying_since FROM (
            SELECT started_at FROM queue WHERE endpoint_id = e.id AND attempts_this_round > 0
            ORDER BY started_at LIMIT {limit}) one
    ) retrying
"""
WORST_FIRST = """
    coalesce(NOT e.enabled AND e.switched_at > now() - interval '7 days', false) DESC, e.enabled DESC, e.paused,
    l.failures = 0, l.failing_since, e.id
"""
"""What the server gave up lately, what fails now for longest, what it gave up long ago, what people have paused."""
RETRIED = """
    (SELECT endpoint_id FROM queue WHERE attempts_this_round > 0 ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT n.endpoint_id FROM retried r CROSS JOIN LATERAL (
        SELECT endpoint_id FROM queue WHERE attempts_this_round > 0 AND endpoint_id > r.endpoint_id
        ORDER BY endpoint_id LIMIT 1) n
"""
"""Endpoints that retry, for `WITH RECURSIVE retried AS (...)`: found by skipping from one to the next in the index."""


async def facts_of(
    db: Session, tenant: Tenant, endpoint_ids: Collection[UUID], *, limit: int = MAX_WAITING
) -> Mapping[UUID, LaneFacts]:
    """Return the facts of the tenant's endpoints; what waits is counted up to `limit` each."""
    rows = await db.conn.fetch(
        f"""
        SELECT e.id, {FACTS}, waiting.*, retrying.* FROM endpoints e JOIN lanes l ON l.endpoint_id = e.id
        {COUNTED.format(limit="$4")}
        WHERE e.account_id = $1 AND e.mode = $2 AND e.id = ANY($3)
        """,
        *tenant,
        list(endpoint_ids),
        limit,
    )
    return {row["id"]: _facts(row) for row in rows}


async def unhealthy(db: Session, tenant: Tenant | None, *, now: datetime, limit: int) -> Sequence[UnhealthyEndpoint]:
    """Return endpoints that fail, recover, are paused or were given up, the worst first."""
    rows = await db.conn.fetch(
        f"""
        WITH RECURSIVE retried AS ({RETRIED}), candidates AS (
            SELECT endpoint_id FROM lanes WHERE failures > 0 OR allowed IS NOT NULL
            UNION SELECT id FROM endpoints WHERE paused OR (NOT enabled AND disabled_reason <> $4)
            UNION SELECT endpoint_id FROM retried
        ), chosen AS MATERIALIZED (
            SELECT e.id FROM candidates c JOIN endpoints e ON e.id = c.endpoint_id JOIN lanes l USING (endpoint_id)
            WHERE ($1::uuid IS NULL OR (e.account_id = $1 AND e.mode = $2)) AND e.disabled_reason IS DISTINCT FROM $4
            ORDER BY {WORST_FIRST} LIMIT $3
        )
        SELECT e.id, e.account_id, e.mode, e.url, e.name, a.name AS account_name, {FACTS}, waiting.*, retrying.*
        FROM chosen c JOIN endpoints e USING (id) JOIN lanes l ON l.endpoint_id = e.id
        JOIN accounts a ON a.id = e.account_id
        {COUNTED.format(limit=MAX_WAITING + 1)}
        ORDER BY {WORST_FIRST}
        """,
        tenant.account_id if tenant else None,
        tenant.mode if tenant else None,
        limit,
        DisabledReason.MANUAL,
    )
    return [
        struct_of(
            UnhealthyEndpoint,
            row,
            endpoint_id=row["id"],
            tenant=tenant_of(row),
            health=health_of(_facts(row), now=now),
        )
        for row in rows
    ]


async def states(db: Session) -> Mapping[EndpointState, int]:
    """Return how many endpoints of all tenants are in each state; for the metrics."""
    rows = await db.conn.fetch(
        f"""
        WITH RECURSIVE retried AS ({RETRIED})
        SELECT e.enabled, e.paused, (l.failures > 0)::int AS failures,
               CASE WHEN l.held_until > now() THEN 'infinity'::timestamptz END AS held_until,
               CASE WHEN l.allowed IS NOT NULL THEN 1 END AS allowed, (r.endpoint_id IS NOT NULL)::int AS retrying,
               now() AS now, count(*) AS number
        FROM endpoints e JOIN lanes l ON l.endpoint_id = e.id LEFT JOIN retried r ON r.endpoint_id = e.id
        GROUP BY 1, 2, 3, 4, 5, 6
        """
    )
    found = dict.fromkeys(EndpointState, 0)
    for row in rows:
        facts = struct_of(LaneFacts, row, cooldown_until=row["held_until"])
        found[state_of(facts, now=row["now"])] += row["number"]
    return found


async def claim_alerts(db: Session, *, limit: int) -> Sequence[EndpointFailing | EndpointRecovered]:
    """Return endpoints that have failed for long enough and those that work again, each once. Needs a transaction.

    A success between failures does not hide them: a delivery that has failed twice and still waits counts from its start.
    """
    rows = await db.conn.fetch(
        f"""
        WITH RECURSIVE retried AS ({RETRIED}), failing AS (
            SELECT endpoint_id, failing_since AS since FROM lanes WHERE failing_since IS NOT NULL
            UNION ALL
            SELECT r.endpoint_id, first.started_at FROM retried r CROSS JOIN LATERAL (
                SELECT started_at FROM queue WHERE endpoint_id = r.endpoint_id AND attempts_this_round > 0
                AND attempts_this_round >= {FAILED_TWICE} ORDER BY started_at LIMIT 1) first
        ), since AS (
            SELECT endpoint_id, min(since) AS since FROM failing GROUP BY endpoint_id
        ), changed AS (
            SELECT l.endpoint_id, l.failing_since IS NULL AND s.since IS NULL AS recovered, s.since, l.alerted_at
            FROM lanes l LEFT JOIN since s ON s.endpoint_id = l.endpoint_id
            WHERE l.open AND ((l.alerted_at IS NULL AND s.since <= now() - $1::interval)
                              OR (l.alerted_at IS NOT NULL AND s.since IS NULL))
            ORDER BY l.endpoint_id LIMIT $2 FOR NO KEY UPDATE OF l SKIP LOCKED
        )
        UPDATE lanes l SET alerted_at = CASE WHEN c.recovered THEN NULL ELSE now() END
        FROM changed c WHERE l.endpoint_id = c.endpoint_id
        RETURNING l.endpoint_id, l.account_id, c.since AS failing_since, l.failures, l.failure_outcome, l.failure_status,
                  l.failure_error, l.failed_at, c.recovered, c.alerted_at
        """,
        ALERT_AFTER,
        limit,
    )
    return [
        struct_of(EndpointRecovered, row)
        if row["recovered"]
        else struct_of(EndpointFailing, row, since=row["failing_since"], last_failure=_last_failure(row))
        for row in rows
    ]


def _facts(row: asyncpg.Record) -> LaneFacts:
    return struct_of(LaneFacts, row, cooldown_until=row["held_until"], last_failure=_last_failure(row))


def _last_failure(row: asyncpg.Record) -> LastFailure | None:
    if row["failure_outcome"] is None:
        return None
    return LastFailure(
        outcome=OutcomeClass(row["failure_outcome"]),
        status_code=row["failure_status"],
        error=row["failure_error"],
        at=row["failed_at"],
    )
