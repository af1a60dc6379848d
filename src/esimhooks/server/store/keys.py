"""API keys, found by their public part and stored as digests, and the dashboard sessions that they begin.

A session is found by the digest of its token, and ends when idle, at its greatest age, or with its key.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from esimhooks.server.domain.account import ApiKey, DashboardSession
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.roles import Role
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode

READ = "SELECT k.*, r.role FROM api_keys k LEFT JOIN key_roles r ON r.key_id = k.id"
"""A key without a role has the one that may most."""


async def insert(db: Session, key: ApiKey) -> None:
    """Store a new key; needs a transaction."""
    await db.conn.execute(
        """
        INSERT INTO api_keys
            (id, account_id, mode, name, lookup, digest, endpoint_id, allowed_ips, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        key.id,
        key.tenant and key.tenant.account_id,
        key.tenant and key.tenant.mode,
        key.name,
        key.lookup,
        key.digest,
        key.endpoint_id,
        key.allowed_ips,
        key.expires_at,
        key.created_at,
    )
    await db.conn.execute("INSERT INTO key_roles (key_id, role) VALUES ($1, $2)", key.id, key.role)


async def find_by_lookup(db: Session, lookup: str) -> ApiKey | None:
    """Return the key with that public part, expired ones included, or None."""
    row = await db.conn.fetchrow(f"{READ} WHERE k.lookup = $1", lookup)
    return None if row is None else _key(row)


async def of_account(db: Session, account_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
    """Return the account's keys, newest first, older than the id `before`."""
    rows = await db.conn.fetch(
        f"{READ} WHERE k.account_id = $1 AND ($2::uuid IS NULL OR k.id < $2) ORDER BY k.id DESC LIMIT $3",
        account_id,
        before,
        limit,
    )
    return [_key(row) for row in rows]


async def of_operators(db: Session, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
    """Return operators' keys, newest first, older than the id `before`."""
    rows = await db.conn.fetch(
        f"{READ} WHERE k.account_id IS NULL AND ($1::uuid IS NULL OR k.id < $1) ORDER BY k.id DESC LIMIT $2",
        before,
        limit,
    )
    return [_key(row) for row in rows]


async def live_of(db: Session, tenant: Tenant, role: Role, *, now: datetime) -> Sequence[ApiKey]:
    """Return the tenant's keys of a role that may be used at `now` (aware UTC), oldest first."""
    rows = await db.conn.fetch(
        f"""
        {READ} WHERE k.account_id = $1 AND k.mode = $2 AND coalesce(r.role, 'manage') = $3
          AND (k.expires_at IS NULL OR k.expires_at > $4) ORDER BY k.id
        """,
        *tenant,
        role,
        now,
    )
    return [_key(row) for row in rows]


async def lock(db: Session, account_id: UUID | None, key_id: UUID) -> ApiKey | None:
    """Return the account's key (None: an operator's), locked until the transaction ends; None where there is none.

    The endpoint that it owns is locked before.
    """
    await db.conn.execute(
        """
        SELECT FROM endpoints e JOIN api_keys k ON k.endpoint_id = e.id
        WHERE k.account_id = $1 AND k.id = $2 FOR NO KEY UPDATE OF e
        """,
        account_id,
        key_id,
    )
    row = await db.conn.fetchrow(
        f"{READ} WHERE k.account_id IS NOT DISTINCT FROM $1 AND k.id = $2 FOR UPDATE OF k", account_id, key_id
    )
    return None if row is None else _key(row)


async def update(db: Session, key: ApiKey) -> None:
    """Write what may change of a key."""
    await db.conn.execute(
        "UPDATE api_keys SET name = $2, endpoint_id = $3, allowed_ips = $4, expires_at = $5 WHERE id = $1",
        key.id,
        key.name,
        key.endpoint_id,
        key.allowed_ips,
        key.expires_at,
    )


async def move_endpoint(db: Session, tenant: Tenant, endpoint_id: UUID, *, url: str, now: datetime) -> None:
    """Send what goes to the tenant's endpoint, which a key owns, to another URL."""
    await db.conn.execute(
        """
        UPDATE endpoints SET url = $4, version = version + 1, updated_at = $5
        WHERE account_id = $1 AND mode = $2 AND id = $3
        """,
        *tenant,
        endpoint_id,
        url,
        now,
    )


async def delete(db: Session, account_id: UUID | None, key_id: UUID) -> ApiKey | None:
    """Revoke the account's key (None: an operator's) at once and return it as it was; None where there is none."""
    key = await lock(db, account_id, key_id)
    if key is not None:
        await db.conn.execute("DELETE FROM api_keys WHERE id = $1", key_id)
    return key


async def record_use(db: Session, lookups: Sequence[str], *, now: datetime) -> None:
    """Write down that the keys were used, at most once a minute each."""
    await db.conn.execute(
        """
        UPDATE api_keys SET last_used_at = $2
        WHERE lookup = ANY($1) AND (last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 minute')
        """,
        lookups,
        now,
    )


def _key(row: dict[str, object]) -> ApiKey:
    values = dict(row)
    account_id, mode = values.pop("account_id"), values.pop("mode")
    allowed, role = values.pop("allowed_ips"), values.pop("role")
    return ApiKey(
        role=Role(role or (Role.ADMIN if account_id is None else Role.MANAGE)),  # type: ignore[arg-type]
        tenant=None if account_id is None else Tenant(account_id, Mode(mode)),  # type: ignore[arg-type]
        allowed_ips=None if allowed is None else tuple(allowed),  # type: ignore[arg-type]
        **values,  # type: ignore[arg-type]
    )


SESSION_IDLE = timedelta(minutes=30)
SESSION_LIFETIME = timedelta(hours=12)
SESSION_NOTED_EVERY = timedelta(minutes=1)


async def start_session(db: Session, digest: bytes, session: DashboardSession, *, now: datetime) -> None:
    """Store a new session, and delete those that have ended."""
    await db.conn.execute("DELETE FROM sessions WHERE seen_at < $1", now - SESSION_IDLE)
    await db.conn.execute(
        "INSERT INTO sessions (digest, lookup, admin_digest, created_at, seen_at) VALUES ($1, $2, $3, $4, $4)",
        digest,
        session.lookup,
        session.admin_digest,
        now,
    )


async def find_session(db: Session, digest: bytes, *, now: datetime) -> DashboardSession | None:
    """Return the session, or None where there is none or it has ended."""
    row = await db.conn.fetchrow(
        "SELECT lookup, admin_digest FROM sessions WHERE digest = $1 AND seen_at > $2 AND created_at > $3",
        digest,
        now - SESSION_IDLE,
        now - SESSION_LIFETIME,
    )
    return None if row is None else DashboardSession(row["lookup"], row["admin_digest"])


async def record_session_use(db: Session, digest: bytes, *, now: datetime) -> None:
    """Record that a person used the session, at most once a minute."""
    await db.conn.execute(
        "UPDATE sessions SET seen_at = $2 WHERE digest = $1 AND seen_at < $3", digest, now, now - SESSION_NOTED_EVERY
    )


async def end_session(db: Session, digest: bytes) -> None:
    """End the session."""
    await db.conn.execute("DELETE FROM sessions WHERE digest = $1", digest)
