"""Facts about providers for their health, and what comes in over time; each read is bounded. For operators."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from esimhooks.server.domain.event import OperationalType
from esimhooks.server.domain.ids import first_id_of, made_at
from esimhooks.server.domain.provider import ProviderFacts
from esimhooks.server.domain.stats import BucketCount
from esimhooks.server.store.database import Session
from esimhooks.server.store.statements import struct_of

MAX_COUNTED = 1000
MAX_CHARTED = 30_000
MAX_GAPS = 200
"""How many of a provider's newest notifications say how long it is usually silent."""
DAY = timedelta(days=1)


async def facts(db: Session, *, name: str | None = None) -> Sequence[ProviderFacts]:
    """Return the facts of all providers by their names, or of one."""
    rows = await db.conn.fetch(
        """
        SELECT p.name, p.kind, heard.*, newest.received_at AS last_at,
               newest.outcome = 'invalid' AS last_is_invalid, waiting.*, gaps.*, troubles.*,
               (SELECT count(*) FROM provider_doubts d WHERE d.provider = p.name) AS doubts
        FROM providers p
        LEFT JOIN LATERAL (
            SELECT received_at, outcome FROM notifications WHERE source = p.name ORDER BY id DESC LIMIT 1
        ) newest ON true
        CROSS JOIN LATERAL (
            SELECT count(*) AS received, count(*) FILTER (WHERE outcome = 'invalid') AS invalid,
                   count(*) FILTER (WHERE outcome = 'unmatched') AS unmatched, (array_agg(id))[count(*)::int] AS first_id
            FROM (SELECT id, outcome FROM notifications WHERE source = p.name AND id >= $2 ORDER BY id DESC LIMIT $3) one
        ) heard
        CROSS JOIN LATERAL (
            SELECT count(*) AS backlog, (array_agg(notification_id))[count(*)::int] AS backlog_first FROM (
                SELECT notification_id FROM backlog WHERE source = p.name ORDER BY notification_id DESC LIMIT $3) one
        ) waiting
        CROSS JOIN LATERAL (
            SELECT count(*) AS heard, max(gap) AS longest_gap FROM (
                SELECT received_at - lag(received_at) OVER (ORDER BY received_at) AS gap FROM (
                    SELECT received_at FROM notifications WHERE source = p.name ORDER BY id DESC LIMIT $4) one) two
        ) gaps
        CROSS JOIN LATERAL (
            SELECT min(since) FILTER (WHERE kind = $5) AS refused_since,
                   min(since) FILTER (WHERE kind = $6) AS low_balance_since
            FROM provider_troubles t WHERE t.provider = p.name
        ) troubles
        WHERE $1::text IS NULL OR p.name = $1 ORDER BY p.name
        """,
        name,
        first_id_of(await db.conn.fetchval("SELECT now()") - DAY),
        MAX_COUNTED,
        MAX_GAPS,
        OperationalType.PROVIDER_REFUSED,
        OperationalType.PROVIDER_BALANCE,
    )
    return [
        struct_of(
            ProviderFacts,
            row,
            first_at=made_at(row["first_id"]) if row["first_id"] else None,
            last_is_invalid=bool(row["last_is_invalid"]),
            backlog_since=made_at(row["backlog_first"]) if row["backlog_first"] else None,
        )
        for row in rows
    ]


async def received_by_time(db: Session, name: str, edges: Sequence[UUID]) -> Sequence[BucketCount]:
    """Count a provider's newest notifications by the edges of time (as ids) they lie between, and by outcome."""
    rows = await db.conn.fetch(
        """
        SELECT width_bucket(id, $2::uuid[]) AS place, outcome, count(*) AS number FROM (
            SELECT id, outcome FROM notifications WHERE source = $1 AND id >= $3 ORDER BY id DESC LIMIT $4) AS newest
        GROUP BY 1, 2
        """,
        name,
        edges,
        edges[0],
        MAX_CHARTED,
    )
    return [BucketCount(row["place"] - 1, row["outcome"], row["number"]) for row in rows]


async def doubts_of(db: Session, name: str) -> Sequence[tuple[str, str, str]]:
    """Return field, word and detail of what was not understood of a provider, the newest 50."""
    rows = await db.conn.fetch(
        "SELECT field, word, detail FROM provider_doubts WHERE provider = $1 ORDER BY first_at DESC LIMIT 50", name
    )
    return [(row["field"], row["word"], row["detail"]) for row in rows]
