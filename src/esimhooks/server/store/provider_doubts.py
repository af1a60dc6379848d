"""Words and members of providers that were not understood, each kept once."""

from collections.abc import Sequence

from esimhooks.server.domain.operational import ProviderDoubt
from esimhooks.server.store.database import Session


async def claim(db: Session, *, limit: int) -> Sequence[ProviderDoubt]:
    """Return doubts that nobody was told of yet, and write down that they are reported; needs a transaction."""
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
