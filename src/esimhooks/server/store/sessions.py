"""Sessions of the dashboard: found by the digest of their token, ended by idleness, age, or the end of their key."""

from datetime import datetime, timedelta

from esimhooks.server.domain.account import DashboardSession
from esimhooks.server.store.database import Session as Db

IDLE = timedelta(minutes=30)
OLDEST = timedelta(hours=12)
NOTED = timedelta(minutes=1)


async def insert(db: Db, digest: bytes, session: DashboardSession, *, now: datetime) -> None:
    """Store a new session, and forget those that have ended."""
    await db.conn.execute("DELETE FROM sessions WHERE seen_at < $1", now - IDLE)
    await db.conn.execute(
        "INSERT INTO sessions (digest, lookup, admin_digest, created_at, seen_at) VALUES ($1, $2, $3, $4, $4)",
        digest,
        session.lookup,
        session.admin_digest,
        now,
    )


async def find(db: Db, digest: bytes, *, now: datetime) -> DashboardSession | None:
    """Return the session, or None where there is none or it has ended."""
    row = await db.conn.fetchrow(
        "SELECT lookup, admin_digest FROM sessions WHERE digest = $1 AND seen_at > $2 AND created_at > $3",
        digest,
        now - IDLE,
        now - OLDEST,
    )
    return None if row is None else DashboardSession(row["lookup"], row["admin_digest"])


async def note_use(db: Db, digest: bytes, *, now: datetime) -> None:
    """Write down that a person used the session, at most once a minute."""
    await db.conn.execute(
        "UPDATE sessions SET seen_at = $2 WHERE digest = $1 AND seen_at < $3", digest, now, now - NOTED
    )


async def delete(db: Db, digest: bytes) -> None:
    """End the session."""
    await db.conn.execute("DELETE FROM sessions WHERE digest = $1", digest)
