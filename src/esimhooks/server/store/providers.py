"""Configured providers: credentials and inbound tokens encrypted, versions of documents, and the pace that all nodes keep together."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec
from msgspec import Struct

from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.store.database import Session
from esimhooks.server.store.encryption import readable
from esimhooks.server.store.statements import struct_of

_COLUMNS = """
    name, kind, base_url, sealed_credentials, settings, sealed_token, created_at, updated_at,
    CASE WHEN old_token_until > now() THEN sealed_old_token END AS sealed_old_token,
    CASE WHEN old_token_until > now() THEN old_token_until END AS old_token_until
"""


class DocumentVersion(Struct, frozen=True, kw_only=True):
    """One version; `created_at` is the database's time."""

    version: int
    document: str
    created_at: datetime


async def put(db: Session, provider: StoredProvider, *, only_polled: bool = False) -> None:
    """Store the provider or overwrite the one of that name; an existing one keeps its token.

    `only_polled`: it does not report by itself that an eSIM is active, so that its eSIMs are polled from the beginning.
    """
    await db.conn.execute(
        """
        INSERT INTO providers
            (name, kind, base_url, sealed_credentials, settings, sealed_token, created_at, updated_at, only_polled)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (name) DO UPDATE SET kind = $2, base_url = $3, sealed_credentials = $4, settings = $5,
                                         updated_at = $8, only_polled = $9
        """,
        provider.name,
        provider.kind,
        provider.base_url,
        db.cipher.encrypt(msgspec.json.encode(provider.credentials), row=_row(provider.name, "credentials")),
        provider.settings,
        db.cipher.encrypt(provider.token.encode(), row=_row(provider.name, "token")),
        provider.created_at,
        provider.updated_at,
        only_polled,
    )


async def set_only_polled(db: Session, provider: StoredProvider, *, only_polled: bool) -> None:
    """Correct what `put` has stored of a provider, unless it was stored again since it was read."""
    await db.conn.execute(
        "UPDATE providers SET only_polled = $3 WHERE name = $1 AND updated_at = $2 AND only_polled <> $3",
        provider.name,
        provider.updated_at,
        only_polled,
    )


async def find(db: Session, name: str) -> StoredProvider | None:
    """Return the provider of that name, or None."""
    row = await db.conn.fetchrow(f"SELECT {_COLUMNS} FROM providers WHERE name = $1", name)
    return None if row is None else _provider(db, row)


async def list_all(db: Session) -> Sequence[StoredProvider | Unreadable]:
    """Return all providers by name."""
    rows = await db.conn.fetch(f"SELECT {_COLUMNS} FROM providers ORDER BY name")
    return readable(rows, lambda row: _provider(db, row), lambda row: Unreadable(name=row["name"]))


async def lock(db: Session, name: str) -> bool:
    """Keep others from changing the provider until the transaction ends; false where there is none."""
    return bool(await db.conn.fetchval("SELECT true FROM providers WHERE name = $1 FOR NO KEY UPDATE", name))


async def rotate_token(db: Session, provider: StoredProvider, token: str, *, expire_old_in_s: int) -> None:
    """Replace the provider's token; the present one works for `expire_old_in_s` more, by the database's clock."""
    await db.conn.execute(
        """
        UPDATE providers
        SET sealed_token = $2, sealed_old_token = $3, old_token_until = now() + make_interval(secs => $4)
        WHERE name = $1
        """,
        provider.name,
        db.cipher.encrypt(token.encode(), row=_row(provider.name, "token")),
        db.cipher.encrypt(provider.token.encode(), row=_row(provider.name, "old_token")) if expire_old_in_s else None,
        expire_old_in_s or None,
    )


async def delete(db: Session, name: str) -> bool:
    """Delete the provider; its inbound address answers 401 from then on."""
    return bool(await db.conn.fetchval("DELETE FROM providers WHERE name = $1 RETURNING true", name))


async def take_slot(db: Session, name: str, *, interval_s: float) -> float:
    """Reserve the provider's next free slot and return the seconds until then, by the database's clock."""
    wait = await db.conn.fetchval(
        """
        UPDATE providers
        SET next_request_at = greatest(clock_timestamp(), next_request_at) + make_interval(secs => $2)
        WHERE name = $1
        RETURNING extract(epoch FROM next_request_at - clock_timestamp())::float8 - $2
        """,
        name,
        interval_s,
    )
    return max(0.0, wait or 0.0)


async def add_document(db: Session, provider: str, document: str) -> None:
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


async def documents(db: Session, provider: str, *, before: int | None, limit: int) -> Sequence[DocumentVersion]:
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


def _row(name: str, column: str) -> str:
    return f"providers.{column}.{name}"


def _provider(db: Session, row: asyncpg.Record) -> StoredProvider:
    name = row["name"]
    credentials = db.cipher.decrypt(row["sealed_credentials"], row=_row(name, "credentials"))
    sealed_old = row["sealed_old_token"]
    return struct_of(
        StoredProvider,
        row,
        credentials=msgspec.json.decode(credentials, type=dict[str, str]),
        token=db.cipher.decrypt(row["sealed_token"], row=_row(name, "token")).decode(),
        old_token=None if sealed_old is None else db.cipher.decrypt(sealed_old, row=_row(name, "old_token")).decode(),
    )
