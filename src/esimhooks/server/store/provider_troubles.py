"""What stands wrong with providers: credentials refused, balance low, silence. Each is reported once until it is over."""

from collections.abc import Sequence
from datetime import timedelta

from esimhooks.server.domain.event import OperationalType
from esimhooks.server.domain.operational import ProviderTrouble
from esimhooks.server.store.database import Session

HEARD = 200
"""So many of a provider's newest notifications say how long it is usually silent."""
ENOUGH = 20
"""With fewer nothing is usual yet."""
TIMES_AS_LONG = 3
LEAST_SILENCE = timedelta(hours=1)
AGAIN_AFTER = timedelta(days=1)
"""A balance that is told to be low again after so long is reported again; nobody tells that it is high."""


async def begin(db: Session, provider: str, kind: OperationalType, detail: str) -> None:
    """Write down a trouble that begins, or that is the same as a day ago; a provider that is gone has none."""
    await db.conn.execute(
        """
        INSERT INTO provider_troubles AS t (provider, kind, detail)
        SELECT name, $2, $3 FROM providers WHERE name = $1
        ON CONFLICT (provider, kind) DO UPDATE SET detail = $3, since = now(), reported_at = NULL
        WHERE $2 = 'provider.balance' AND t.since < now() - $4::interval
        """,
        provider,
        kind.value,
        detail,
        AGAIN_AFTER,
    )


async def end(db: Session, provider: str, kind: OperationalType) -> None:
    """The trouble is over; the next one is reported again."""
    await db.conn.execute("DELETE FROM provider_troubles WHERE provider = $1 AND kind = $2", provider, kind.value)


async def note_silence(db: Session) -> None:
    """Write down which providers have been silent for far longer than they usually are, by the database's clock."""
    await db.conn.execute(
        """
        WITH heard AS (
            SELECT p.name, n.received_at,
                   n.received_at - lag(n.received_at) OVER (PARTITION BY p.name ORDER BY n.received_at) AS gap
            FROM providers p CROSS JOIN LATERAL (
                SELECT received_at FROM notifications WHERE source = p.name ORDER BY id DESC LIMIT $1
            ) n
        ), silences AS (
            SELECT name, max(received_at) AS last,
                   now() - max(received_at) > greatest($3::interval, $4 * max(gap)) AS silent
            FROM heard GROUP BY name HAVING count(*) >= $2
        ), over AS (
            DELETE FROM provider_troubles t USING silences s
            WHERE t.provider = s.name AND t.kind = 'provider.silent' AND NOT s.silent
        )
        INSERT INTO provider_troubles (provider, kind, detail, since)
        SELECT name, 'provider.silent', 'nothing was heard since, far longer than usual', last
        FROM silences WHERE silent
        ON CONFLICT DO NOTHING
        """,
        HEARD,
        ENOUGH,
        LEAST_SILENCE,
        TIMES_AS_LONG,
    )


async def claim(db: Session, *, limit: int) -> Sequence[ProviderTrouble]:
    """Return troubles that nobody was told of yet, and write down that they are reported; needs a transaction."""
    rows = await db.conn.fetch(
        """
        UPDATE provider_troubles t SET reported_at = now()
        FROM (SELECT provider, kind FROM provider_troubles WHERE reported_at IS NULL
              ORDER BY since LIMIT $1 FOR UPDATE SKIP LOCKED) c
        WHERE (t.provider, t.kind) = (c.provider, c.kind)
        RETURNING t.provider, t.kind, t.detail, t.since
        """,
        limit,
    )
    return [
        ProviderTrouble(
            provider=row["provider"], kind=OperationalType(row["kind"]), detail=row["detail"], since=row["since"]
        )
        for row in rows
    ]
