"""Portal links, the sessions that they began, and brandings. A link is stored as the digest of its token, and used once."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from esimhooks.server.domain.portal import INSTALLATION, Branding, PortalLink, PortalSession
from esimhooks.server.store.database import Session
from esimhooks.server.store.keys import SESSION_IDLE, SESSION_LIFETIME, SESSION_NOTED_EVERY
from esimhooks.server.store.statements import struct_of, tenant_of


async def insert_link(db: Session, digest: bytes, link: PortalLink, *, now: datetime) -> None:
    """Store a link, and delete those that have expired."""
    await db.conn.execute("DELETE FROM portal_links WHERE expires_at <= $1", now)
    await db.conn.execute(
        """
        INSERT INTO portal_links (digest, account_id, mode, role, page, framed, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        digest,
        *link.tenant,
        link.role,
        link.page,
        link.framed,
        link.expires_at,
    )


async def find_link(db: Session, digest: bytes, *, now: datetime) -> PortalLink | None:
    """Return the link without using it; None where there is none, or it has expired."""
    return _link(
        await db.conn.fetchrow("SELECT * FROM portal_links WHERE digest = $1 AND expires_at > $2", digest, now)
    )


async def use_link(db: Session, digest: bytes, *, now: datetime) -> PortalLink | None:
    """Use the link up and return it; None where there is none, or it has expired."""
    return _link(
        await db.conn.fetchrow(
            "DELETE FROM portal_links WHERE digest = $1 AND expires_at > $2 RETURNING *", digest, now
        )
    )


def _link(row: asyncpg.Record | None) -> PortalLink | None:
    if row is None:
        return None
    return struct_of(PortalLink, row, tenant=tenant_of(row))


async def start_session(db: Session, digest: bytes, link: PortalLink, *, now: datetime) -> None:
    """Store the session that a link begins, and delete those that have ended."""
    await db.conn.execute("DELETE FROM portal_sessions WHERE seen_at < $1", now - SESSION_IDLE)
    await db.conn.execute(
        """
        INSERT INTO portal_sessions (digest, account_id, mode, role, framed, created_at, seen_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        """,
        digest,
        *link.tenant,
        link.role,
        link.framed,
        now,
    )


async def find_session(db: Session, digest: bytes, *, by_person: bool, now: datetime) -> PortalSession | None:
    """Return the session, or None where there is none or it has ended; what a person asks for keeps it alive."""
    row = await db.conn.fetchrow(
        "SELECT * FROM portal_sessions WHERE digest = $1 AND seen_at > $2 AND created_at > $3",
        digest,
        now - SESSION_IDLE,
        now - SESSION_LIFETIME,
    )
    if row is not None and by_person and row["seen_at"] < now - SESSION_NOTED_EVERY:
        await db.conn.execute("UPDATE portal_sessions SET seen_at = $2 WHERE digest = $1", digest, now)
    return None if row is None else _session(row)


async def sign_out(db: Session, digest: bytes) -> None:
    """End the session."""
    await db.conn.execute("DELETE FROM portal_sessions WHERE digest = $1", digest)


async def sessions_of(db: Session, account_id: UUID, *, since: datetime) -> Sequence[PortalSession]:
    """Return the account's portal sessions that were used since then, newest first."""
    rows = await db.conn.fetch(
        "SELECT * FROM portal_sessions WHERE account_id = $1 AND seen_at > $2 ORDER BY created_at DESC LIMIT 100",
        account_id,
        since,
    )
    return [_session(row) for row in rows]


def _session(row: asyncpg.Record) -> PortalSession:
    return struct_of(PortalSession, row, id=row["digest"][:16].hex(), tenant=tenant_of(row))


async def end_session(db: Session, account_id: UUID, session_id: str) -> bool:
    """End one of the account's portal sessions; false where there is none of that id."""
    done = await db.conn.execute(
        "DELETE FROM portal_sessions WHERE account_id = $1 AND encode(substr(digest, 1, 16), 'hex') = $2",
        account_id,
        session_id,
    )
    return bool(done != "DELETE 0")


class StoredBranding(Struct, frozen=True, kw_only=True):
    """A branding with its pictures."""

    branding: Branding
    logo: bytes | None = None
    favicon: bytes | None = None
    updated_at: datetime | None = None


async def find_branding(db: Session, account_id: UUID) -> StoredBranding:
    """Return the branding of the account, or of the installation; an empty one where there is none."""
    row = await db.conn.fetchrow("SELECT * FROM brandings WHERE account_id = $1", account_id)
    if row is None:
        return StoredBranding(branding=Branding())
    return struct_of(StoredBranding, row)


async def brandings_for(db: Session, account_id: UUID | None) -> Sequence[tuple[UUID, Branding, datetime]]:
    """Return the brandings that make up the look for an account, its own first."""
    rows = await db.conn.fetch(
        "SELECT account_id, branding, updated_at FROM brandings WHERE account_id = ANY($1) ORDER BY account_id DESC",
        [INSTALLATION, account_id or INSTALLATION],
    )
    return [(row["account_id"], msgspec.convert(row["branding"], Branding), row["updated_at"]) for row in rows]


async def store_branding(db: Session, account_id: UUID, stored: StoredBranding, *, now: datetime) -> None:
    """Store the branding in place of the one before."""
    await db.conn.execute(
        """
        INSERT INTO brandings (account_id, branding, logo, favicon, updated_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (account_id) DO UPDATE
        SET branding = excluded.branding, logo = excluded.logo, favicon = excluded.favicon, updated_at = excluded.updated_at
        """,
        account_id,
        msgspec.to_builtins(stored.branding),
        stored.logo,
        stored.favicon,
        now,
    )
