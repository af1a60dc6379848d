"""Secrets of endpoints: made, read and rotated, sealed each under its own row. Newest first, as they sign."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from esimhooks.server.domain.delivery import SigningSecret
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store.database import Session


async def insert(db: Session, tenant: Tenant, endpoint_id: UUID, *, secret: str, now: datetime) -> None:
    """Store a secret that signs from now on (aware UTC)."""
    secret_id = new_id()
    await db.conn.execute(
        "INSERT INTO endpoint_secrets (id, account_id, endpoint_id, sealed_secret, created_at) VALUES ($1,$2,$3,$4,$5)",
        secret_id,
        tenant.account_id,
        endpoint_id,
        db.sealer.seal(secret.encode(), row=secret_row(secret_id)),
        now,
    )


async def valid(db: Session, tenant: Tenant, endpoint_id: UUID, *, now: datetime) -> Sequence[SigningSecret]:
    """Return the secrets of the tenant's endpoint that sign at `now` (aware UTC), newest first."""
    rows = await db.conn.fetch(
        """
        SELECT s.id, s.sealed_secret, s.expires_at
        FROM endpoints e JOIN endpoint_secrets s ON s.endpoint_id = e.id
        WHERE e.account_id = $1 AND e.mode = $2 AND e.id = $3 AND (s.expires_at IS NULL OR s.expires_at > $4)
        ORDER BY s.id DESC
        """,
        tenant.account_id,
        tenant.mode,
        endpoint_id,
        now,
    )
    return [
        SigningSecret(
            secret=db.sealer.open(row["sealed_secret"], row=secret_row(row["id"])).decode(),
            expires_at=row["expires_at"],
        )
        for row in rows
    ]


async def lock(db: Session, tenant: Tenant, endpoint_id: UUID) -> bool:
    """Lock the tenant's endpoint for a rotation and have dispatchers read it anew; false where there is none."""
    found = await db.conn.fetchval(
        """
        UPDATE endpoints SET version = version + 1 WHERE account_id = $1 AND mode = $2 AND id = $3 RETURNING true
        """,
        tenant.account_id,
        tenant.mode,
        endpoint_id,
    )
    return bool(found)


async def expire(db: Session, endpoint_id: UUID, *, at: datetime, now: datetime) -> None:
    """Let the endpoint's secrets sign until `at` and no longer, and forget those that have ended; times aware UTC."""
    await db.conn.execute(
        "UPDATE endpoint_secrets SET expires_at = $2 WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > $2)",
        endpoint_id,
        at,
    )
    await db.conn.execute("DELETE FROM endpoint_secrets WHERE endpoint_id = $1 AND expires_at <= $2", endpoint_id, now)


def secret_row(secret_id: UUID) -> str:
    """Return what a sealed secret is bound to."""
    return f"endpoint_secrets.secret.{secret_id}"
