"""Figures of one endpoint: counted over its newest deliveries, so that a long history does not make them slow."""

from datetime import datetime
from uuid import UUID

from esimhooks.server.domain.delivery import DeliveryStatus
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.endpoint_stats import EndpointStats, LaneState
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.store.database import Session

MOST_COUNTED = 50_000


async def stats_of(db: Session, tenant: Tenant, endpoint_id: UUID, *, since: datetime) -> EndpointStats | None:
    """Return how the tenant's endpoint does; None where there is none."""
    lane = await _lane(db, tenant, endpoint_id)
    if lane is None:
        return None
    rows = await db.conn.fetch(
        f"""
        WITH newest AS MATERIALIZED (
            SELECT id, status, attempts, finished_at FROM deliveries
            WHERE account_id = $1 AND mode = $2 AND endpoint_id = $3 AND id >= $4
            ORDER BY id DESC LIMIT {MOST_COUNTED}
        )
        SELECT status, count(*) AS number, sum(attempts) AS attempts,
               percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
                   ORDER BY greatest(0, extract(epoch FROM finished_at) * 1000
                            - ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint)::float8
               ) AS ms
        FROM newest GROUP BY status
        """,
        tenant.account_id,
        tenant.mode,
        endpoint_id,
        first_id_of(since),
    )
    counted = {DeliveryStatus(row["status"]): row["number"] for row in rows}
    times = next((row["ms"] for row in rows if row["status"] == DeliveryStatus.DELIVERED), None)
    return EndpointStats(
        since=since,
        deliveries=dict.fromkeys(DeliveryStatus, 0) | counted,
        attempts=sum(row["attempts"] for row in rows),
        times_s=None if times is None else tuple(ms / 1000 for ms in times),
        bounded=sum(counted.values()) >= MOST_COUNTED,
        lane=lane,
    )


async def _lane(db: Session, tenant: Tenant, endpoint_id: UUID) -> LaneState | None:
    row = await db.conn.fetchrow(
        f"""
        SELECT l.failures, l.failing_since, l.allowed, l.held_until, waiting.number, waiting.oldest
        FROM endpoints e JOIN lanes l ON l.endpoint_id = e.id
        CROSS JOIN LATERAL (
            SELECT count(*) AS number, min(due_at) AS oldest FROM (
                SELECT due_at FROM queue q WHERE q.endpoint_id = e.id ORDER BY due_at LIMIT {MOST_COUNTED}) one
        ) waiting
        WHERE e.account_id = $1 AND e.mode = $2 AND e.id = $3
        """,
        tenant.account_id,
        tenant.mode,
        endpoint_id,
    )
    if row is None:
        return None
    return LaneState(
        pending=row["number"],
        oldest_due_at=row["oldest"],
        failures_in_a_row=row["failures"],
        failing_since=row["failing_since"],
        allowed=row["allowed"],
        rests_until=row["held_until"],
    )
