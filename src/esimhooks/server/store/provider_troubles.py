"""What is wrong with providers: credentials refused, balance low, silence, and words that are not understood.

A trouble is reported once until it is over, a word once for all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from esimhooks.server.domain.event import OperationalType
from esimhooks.server.domain.operational import ProviderDoubt, ProviderTrouble
from esimhooks.server.store.database import Session
from esimhooks.server.store.statements import struct_of

REMIND_AFTER = timedelta(days=1)
"""A balance that is reported as low again after this is emitted again; that it is high is never reported."""


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
        REMIND_AFTER,
    )


async def end(db: Session, provider: str, kind: OperationalType) -> None:
    """The trouble is over; the next one is reported again."""
    await db.conn.execute("DELETE FROM provider_troubles WHERE provider = $1 AND kind = $2", provider, kind.value)


async def write_silence(db: Session, silent: Mapping[str, datetime]) -> None:
    """Write down which providers are silent, each since when (aware UTC); that of all others is over."""
    await db.conn.execute(
        "DELETE FROM provider_troubles WHERE kind = $1 AND NOT provider = ANY($2)",
        OperationalType.PROVIDER_SILENT,
        list(silent),
    )
    await db.conn.execute(
        """
        INSERT INTO provider_troubles (provider, kind, detail, since)
        SELECT s.name, $1, 'nothing was heard since, far longer than usual', s.since
        FROM unnest($2::text[], $3::timestamptz[]) AS s (name, since) JOIN providers p USING (name)
        ON CONFLICT DO NOTHING
        """,
        OperationalType.PROVIDER_SILENT,
        list(silent),
        list(silent.values()),
    )


async def claim(db: Session, *, limit: int) -> Sequence[ProviderTrouble]:
    """Return troubles that were not emitted yet, and mark them as reported; needs a transaction."""
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
    return [struct_of(ProviderTrouble, row) for row in rows]


async def claim_doubts(db: Session, *, limit: int) -> Sequence[ProviderDoubt]:
    """Return doubts that were not emitted yet, and mark them as reported; needs a transaction."""
    rows = await db.conn.fetch(
        """
        UPDATE provider_doubts d SET reported_at = now()
        FROM (SELECT provider, field, word FROM provider_doubts WHERE reported_at IS NULL
              ORDER BY first_at LIMIT $1 FOR UPDATE SKIP LOCKED) c
        WHERE (d.provider, d.field, d.word) = (c.provider, c.field, c.word)
        RETURNING d.provider, d.field, d.word, d.detail, d.notification_id
        """,
        limit,
    )
    return [ProviderDoubt(**row) for row in rows]
