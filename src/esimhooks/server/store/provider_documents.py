"""Documents of providers, a row for each version, and the words that none of them knows."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from esimhooks.server.domain.operational import ProviderDoubt
from esimhooks.server.store.database import Session


class DocumentVersion(Struct, frozen=True, kw_only=True):
    """One version; `created_at` is the database's time."""

    version: int
    document: str
    created_at: datetime


async def add(db: Session, provider: str, document: str) -> None:
    """Keep the document as the provider's newest version; the same again is none. Needs a lock on the provider."""
    await db.conn.execute(
        """
        INSERT INTO provider_documents (provider, version, document)
        SELECT $1, coalesce(max(version), 0) + 1, $2 FROM provider_documents WHERE provider = $1
        HAVING $2 IS DISTINCT FROM (
            SELECT document FROM provider_documents WHERE provider = $1 ORDER BY version DESC LIMIT 1)
        """,
        provider,
        document,
    )


async def page(db: Session, provider: str, *, before: int | None, limit: int) -> Sequence[DocumentVersion]:
    """Return the versions older than `before`, the newest first."""
    rows = await db.conn.fetch(
        """
        SELECT version, document, created_at FROM provider_documents
        WHERE provider = $1 AND ($2::int IS NULL OR version < $2) ORDER BY version DESC LIMIT $3
        """,
        provider,
        before,
        limit,
    )
    return [DocumentVersion(**row) for row in rows]


async def claim(db: Session, *, limit: int) -> Sequence[ProviderDoubt]:
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
