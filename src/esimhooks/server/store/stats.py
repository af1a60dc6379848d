"""Statistics of the overview and of one endpoint: counted over the newest rows, so that no history makes a page slow."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from esimhooks.server.domain.delivery import DeliveryStatus
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.health import LaneFacts
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.domain.stats import RETRYING, BucketCount, Due, EndpointStats, FirstSteps, GivenUp
from esimhooks.server.store import health
from esimhooks.server.store.database import Session
from esimhooks.server.store.deliveries import delivery_of
from esimhooks.server.store.lanes import FIRST_OF_EACH

MAX_COUNTED = 30_000
MAX_TIMED = 5_000
MAX_DUE = 10_000

FIRST_OF_TENANT = """
    SELECT e.id AS endpoint_id, n.due_at FROM endpoints e CROSS JOIN LATERAL (
        SELECT due_at FROM queue WHERE endpoint_id = e.id ORDER BY due_at LIMIT 1
    ) n
    WHERE e.account_id = $2 AND e.mode = $3
"""


def _owned_by(tenant: Tenant | None) -> tuple[str, list[object]]:
    """Return the condition for a tenant's rows, for $1 and $2; an operator may look at all."""
    if tenant is None:
        return "$1::int IS NULL AND $2::int IS NULL", [None, None]
    return "account_id = $1 AND mode = $2", [*tenant]


async def deliveries_by_time(
    db: Session, tenant: Tenant | None, edges: Sequence[UUID], *, endpoint_id: UUID | None = None
) -> Sequence[BucketCount]:
    """Count the newest deliveries, of one endpoint where it is given, by the edges of time they lie between and by status.

    Edges are the first ids of spans of time, in their order.
    """
    owned, values = _owned_by(tenant)
    if endpoint_id is not None:
        owned = f"{owned} AND endpoint_id = $5"
    rows = await db.conn.fetch(
        f"""
        SELECT width_bucket(id, $4::uuid[]) AS place,
               CASE WHEN status = 'pending' AND outcome <> '2xx' THEN '{RETRYING}' ELSE status END AS status,
               count(*) AS number
        FROM (
            SELECT id, status, outcome FROM deliveries WHERE {owned} AND id >= $3 ORDER BY id DESC LIMIT {MAX_COUNTED}) AS newest
        GROUP BY 1, 2
        """,
        *values,
        edges[0],
        edges,
        *(() if endpoint_id is None else (endpoint_id,)),
    )
    return [BucketCount(row["place"] - 1, row["status"], row["number"]) for row in rows]


async def events_by_time(db: Session, tenant: Tenant | None, edges: Sequence[UUID]) -> Sequence[BucketCount]:
    """Count the newest events by the edges of time (as ids) they lie between."""
    owned, values = _owned_by(tenant)
    rows = await db.conn.fetch(
        f"""
        SELECT width_bucket(id, $4::uuid[]) AS place, count(*) AS number FROM (
            SELECT id FROM events WHERE {owned} AND id >= $3 ORDER BY id DESC LIMIT {MAX_COUNTED}) AS newest
        GROUP BY 1
        """,
        *values,
        edges[0],
        edges,
    )
    return [BucketCount(row["place"] - 1, "", row["number"]) for row in rows]


async def delivery_times(db: Session, tenant: Tenant | None, since: UUID) -> tuple[float, ...] | None:
    """Return p50, p95 and p99 of the seconds from making a delivery to its arrival, of the newest; None without any."""
    owned, values = _owned_by(tenant)
    found = await db.conn.fetchval(
        f"""
        SELECT percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms) FROM (
            SELECT greatest(0, extract(epoch FROM finished_at) * 1000
                   - ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint)::float8 AS ms
            FROM deliveries WHERE {owned} AND id >= $3 AND status = 'delivered'
            ORDER BY id DESC LIMIT {MAX_TIMED}) AS newest
        """,
        *values,
        since,
    )
    return None if found is None else tuple(ms / 1000 for ms in found)


async def due(db: Session, tenant: Tenant | None, *, limit: int = MAX_DUE) -> Due:
    """Return what is due in all lanes: since when, and how many, counted up to `limit`.

    Each lane's first delivery is found by one step into the index, however long the lane and how many wait for later.
    """
    row = await db.conn.fetchrow(
        f"""
        WITH RECURSIVE waiting AS ({FIRST_OF_EACH if tenant is None else FIRST_OF_TENANT}),
        due AS MATERIALIZED (SELECT * FROM waiting WHERE due_at <= now())
        SELECT (SELECT min(due_at) FROM due) AS oldest,
               (SELECT count(*) FROM (
                    SELECT FROM due CROSS JOIN LATERAL (
                        SELECT FROM queue q WHERE q.endpoint_id = due.endpoint_id AND q.due_at <= now()
                        ORDER BY q.due_at LIMIT $1) one
                    LIMIT $1) counted) AS number
        """,
        limit + 1,
        *(() if tenant is None else (tenant.account_id, tenant.mode)),
    )
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return Due(min(row["number"], limit), row["oldest"], row["number"] > limit)


async def first_steps(db: Session, tenant: Tenant) -> FirstSteps:
    """Return how far the tenant is on its way to the first webhook that arrives; only its newest deliveries are looked at."""
    row = await db.conn.fetchrow(
        """
        WITH newest AS MATERIALIZED (
            SELECT status FROM deliveries WHERE account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT 1000
        )
        SELECT (SELECT id FROM endpoints WHERE account_id = $1 AND mode = $2 ORDER BY id LIMIT 1) AS endpoint_id,
               EXISTS (SELECT FROM events WHERE account_id = $1 AND mode = $2) AS raised,
               EXISTS (SELECT FROM newest WHERE status = 'delivered') AS arrived
        """,
        *tenant,
    )
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return FirstSteps(endpoint_id=row["endpoint_id"], raised=row["raised"], arrived=row["arrived"])


async def latest_failures(db: Session, tenant: Tenant | None, *, limit: int) -> Sequence[GivenUp]:
    """Return the newest deliveries that failed or were stopped, with the names of whose they were."""
    owned, values = _owned_by(tenant)
    rows = await db.conn.fetch(
        f"""
        SELECT d.*, NULL::timestamptz AS due_at, e.name AS endpoint_name, e.url AS endpoint_url, a.name AS account_name
        FROM (
            SELECT * FROM deliveries
            WHERE {owned} AND status IN ('failed', 'stopped', 'cancelled') AND status <> '{DeliveryStatus.CANCELLED.value}'
            ORDER BY id DESC LIMIT $3
        ) d LEFT JOIN endpoints e ON e.id = d.endpoint_id LEFT JOIN accounts a ON a.id = d.account_id
        ORDER BY d.id DESC
        """,
        *values,
        limit,
    )
    return [
        GivenUp(
            delivery=delivery_of(row),
            endpoint=row["endpoint_name"] or row["endpoint_url"],
            account_name=row["account_name"],
        )
        for row in rows
    ]


def edges_of(end: datetime, *, width: timedelta, number: int) -> list[datetime]:
    """Return the beginnings of `number` equal spans of time of which the last one holds `end`."""
    last = datetime.fromtimestamp(end.timestamp() // width.total_seconds() * width.total_seconds(), end.tzinfo)
    return [last - width * back for back in range(number - 1, -1, -1)]


MAX_COUNTED_OF_ENDPOINT = 50_000


async def stats_of(db: Session, tenant: Tenant, endpoint_id: UUID, *, since: datetime) -> EndpointStats | None:
    """Return how the tenant's endpoint does; None where there is none."""
    async with db.snapshot():
        lane = await health.facts_of(db, tenant, [endpoint_id], limit=MAX_COUNTED_OF_ENDPOINT)
        return await _stats(db, tenant, endpoint_id, lane[endpoint_id], since=since) if lane else None


async def _stats(db: Session, tenant: Tenant, endpoint_id: UUID, lane: LaneFacts, *, since: datetime) -> EndpointStats:
    rows = await db.conn.fetch(
        f"""
        WITH newest AS MATERIALIZED (
            SELECT id, status, attempts, finished_at FROM deliveries
            WHERE account_id = $1 AND mode = $2 AND endpoint_id = $3 AND id >= $4
            ORDER BY id DESC LIMIT {MAX_COUNTED_OF_ENDPOINT}
        )
        SELECT status, count(*) AS number, sum(attempts) AS attempts,
               percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
                   ORDER BY greatest(0, extract(epoch FROM finished_at) * 1000
                            - ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint)::float8
               ) AS ms
        FROM newest GROUP BY status
        """,
        *tenant,
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
        bounded=sum(counted.values()) >= MAX_COUNTED_OF_ENDPOINT,
        lane=lane,
    )
