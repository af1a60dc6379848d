"""Endpoints with their lanes and secrets, and what sending to them needs.

Every statement takes the tenant whose rows it may see. Secrets are encrypted each under its own row, and read newest first,
as they sign.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from esimhooks.server.domain.account import header_bytes
from esimhooks.server.domain.delivery import EndpointTarget, SigningSecret
from esimhooks.server.domain.endpoint import (
    CONFIG,
    Endpoint,
    Ordering,
    SignatureProfile,
    Tenant,
    configuration,
)
from esimhooks.server.domain.errors import Undecryptable
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.lists import Unreadable, partition
from esimhooks.server.domain.operational import EndpointDescription
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import fifo
from esimhooks.server.store.database import Session
from esimhooks.server.store.encryption import readable
from esimhooks.server.store.statements import struct_of, tenant_of
from esimhooks.vocabulary.statuses import Mode

log = get_logger("store")

HEADERS = msgspec.json.Decoder(tuple[tuple[str, str], ...])
NEWEST_FIRST = "s.expires_at DESC NULLS FIRST, s.created_at DESC, s.id DESC"
"""The order of an endpoint's secrets `s`: who replaces one limits those before. Ids bear the clock of the node that made them."""


async def insert(db: Session, endpoint: Endpoint, *, secret: str) -> None:
    """Store a new endpoint with its secret and its lane; needs a transaction."""
    columns = {
        "account_id": endpoint.tenant.account_id,
        "mode": endpoint.tenant.mode,
        "created_at": endpoint.created_at,
    }
    columns |= {"id": endpoint.id} | _columns(db, endpoint)
    placeholders = ", ".join(f"${index}" for index in range(1, len(columns) + 1))
    await db.conn.execute(f"INSERT INTO endpoints ({', '.join(columns)}) VALUES ({placeholders})", *columns.values())
    await add_secret(db, endpoint.tenant, endpoint.id, secret=secret, now=endpoint.created_at)
    await db.conn.execute(
        "INSERT INTO lanes (endpoint_id, account_id, open) VALUES ($1, $2, $3)",
        endpoint.id,
        endpoint.tenant.account_id,
        endpoint.enabled,
    )


async def find(db: Session, tenant: Tenant, endpoint_id: UUID) -> Endpoint | None:
    """Return the tenant's endpoint, or None."""
    row = await db.conn.fetchrow(
        "SELECT * FROM endpoints WHERE account_id = $1 AND mode = $2 AND id = $3", *tenant, endpoint_id
    )
    return None if row is None else _endpoint(db, row)


async def names_of(db: Session, tenant: Tenant, endpoint_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of the tenant's endpoints, their URLs where they have none; those that were deleted are missing."""
    rows = await db.conn.fetch(
        "SELECT id, coalesce(name, url) AS name FROM endpoints WHERE account_id = $1 AND mode = $2 AND id = ANY($3)",
        *tenant,
        list(endpoint_ids),
    )
    return {row["id"]: row["name"] for row in rows}


async def describe(db: Session, endpoint_ids: Collection[UUID]) -> dict[UUID, EndpointDescription]:
    """Return what operational events say of these endpoints, of any tenant; those that were deleted are missing."""
    rows = await db.conn.fetch("SELECT id, mode, url, name FROM endpoints WHERE id = ANY($1)", list(endpoint_ids))
    return {row["id"]: EndpointDescription(Mode(row["mode"]), row["url"], row["name"]) for row in rows}


async def find_to_change(db: Session, tenant: Tenant, endpoint_id: UUID) -> Endpoint | None:
    """Return the tenant's endpoint, locked against other changes until the end of the transaction, or None."""
    row = await db.conn.fetchrow(
        "SELECT * FROM endpoints WHERE account_id = $1 AND mode = $2 AND id = $3 FOR NO KEY UPDATE",
        *tenant,
        endpoint_id,
    )
    return None if row is None else _endpoint(db, row)


async def enabled_to_send(db: Session, tenant: Tenant) -> Sequence[Endpoint]:
    """Return the tenant's enabled endpoints, locked against changes until the end of the transaction.

    Those whose headers cannot be decrypted are missing, as nothing could be sent to them.
    """
    rows = await db.conn.fetch(
        "SELECT * FROM endpoints WHERE account_id = $1 AND mode = $2 AND enabled ORDER BY id FOR NO KEY UPDATE", *tenant
    )
    found, _ = partition(readable(rows, lambda row: _endpoint(db, row), _unreadable))
    return found


async def change(db: Session, endpoint: Endpoint) -> None:
    """Overwrite an endpoint that is locked, and have dispatchers read it again."""
    columns = _columns(db, endpoint)
    assignments = ", ".join(f"{name} = ${index}" for index, name in enumerate(columns, 2))
    await db.conn.execute(
        f"UPDATE endpoints SET {assignments}, version = version + 1 WHERE id = $1", endpoint.id, *columns.values()
    )


async def reorder(db: Session, endpoint: Endpoint) -> None:
    """Have what waits keep the order of each eSIM, or no longer, as the endpoint, which is locked, now wants.

    The lane is locked before what it holds, as outcomes are written in that order.
    """
    await db.conn.execute("SELECT FROM lanes WHERE endpoint_id = $1 FOR NO KEY UPDATE", endpoint.id)
    await fifo.reorder(db, endpoint.id, ordered=endpoint.ordering is Ordering.ESIM)


async def page(db: Session, tenant: Tenant, *, before: UUID | None, limit: int) -> Sequence[Endpoint | Unreadable]:
    """Return the tenant's endpoints, newest first, older than the id `before`."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM endpoints WHERE account_id = $1 AND mode = $2 AND ($3::uuid IS NULL OR id < $3)
        ORDER BY id DESC LIMIT $4
        """,
        *tenant,
        before,
        limit,
    )
    return readable(rows, lambda row: _endpoint(db, row), _unreadable)


async def delete(db: Session, tenant: Tenant, endpoint_id: UUID, *, now: datetime) -> bool:
    """Delete the endpoint and cancel what still waits for it; needs a transaction."""
    deleted = await db.conn.fetchval(
        "DELETE FROM endpoints WHERE account_id = $1 AND mode = $2 AND id = $3 RETURNING true", *tenant, endpoint_id
    )
    if deleted:
        await _cancel(db, [endpoint_id], now=now)
    return bool(deleted)


async def cancel_orphans(db: Session, *, now: datetime) -> int:
    """Cancel deliveries that were made while their endpoint was being deleted; return how many."""
    orphans = await db.conn.fetch(
        "SELECT DISTINCT endpoint_id FROM queue q WHERE NOT EXISTS "
        "(SELECT FROM lanes l WHERE l.endpoint_id = q.endpoint_id)"
    )
    return await _cancel(db, [row["endpoint_id"] for row in orphans], now=now) if orphans else 0


async def _cancel(db: Session, endpoint_ids: Sequence[UUID], *, now: datetime) -> int:
    """Take what waits for the endpoints out of the queue first, by itself: see docs/decisions/0006."""
    dropped = await db.conn.fetch("DELETE FROM queue WHERE endpoint_id = ANY($1) RETURNING delivery_id", endpoint_ids)
    await db.conn.execute(
        "UPDATE deliveries SET status = 'cancelled', finished_at = $2 WHERE id = ANY($1)",
        [row["delivery_id"] for row in dropped],
        now,
    )
    return len(dropped)


async def targets(db: Session, endpoint_ids: Sequence[UUID]) -> list[EndpointTarget]:
    """Return what sending to the endpoints needs; for the dispatcher, which serves all tenants.

    Those that were deleted are missing, and those whose secrets or headers cannot be decrypted, so that they hold up nobody
    else.
    """
    rows = await db.conn.fetch(
        f"""
        SELECT e.*, s.id AS secret_id, s.sealed_secret, s.expires_at
        FROM endpoints e JOIN endpoint_secrets s ON s.endpoint_id = e.id
        WHERE e.id = ANY($1) ORDER BY e.id, {NEWEST_FIRST}
        """,
        endpoint_ids,
    )
    grouped: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        grouped[row["id"]].append(row)
    found = []
    for endpoint_id, of_endpoint in grouped.items():
        try:
            found.append(_target(db, of_endpoint))
        except Undecryptable:
            log.error("endpoint.unreadable", endpoint_id=text_of(Prefix.ENDPOINT, endpoint_id))  # noqa: TRY400 - keys
    return found


def _target(db: Session, rows: Sequence[asyncpg.Record]) -> EndpointTarget:
    """Return the target of rows that differ in their secrets. Raises `Undecryptable` where no key decrypts one."""
    row = rows[0]
    return EndpointTarget(
        **_config(db, row),
        id=row["id"],
        secrets=tuple(
            SigningSecret(
                secret=db.cipher.decrypt(one["sealed_secret"], row=secret_row(one["secret_id"])).decode(),
                expires_at=one["expires_at"],
            )
            for one in rows
        ),
        version=row["version"],
    )


def _headers_row(endpoint_id: UUID) -> str:
    return f"endpoints.headers.{endpoint_id}"


def _columns(db: Session, endpoint: Endpoint) -> dict[str, object]:
    """Return what may change of an endpoint by column; its own headers are encrypted, as they may hold a password."""
    columns = {name: value for name, value in configuration(endpoint).items() if name != "headers"}
    headers = tuple(endpoint.headers.items())
    encrypted = db.cipher.encrypt(msgspec.json.encode(headers), row=_headers_row(endpoint.id)) if headers else None
    return columns | {
        "sealed_headers": encrypted,
        "header_bytes": header_bytes(endpoint.headers),
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "paused": endpoint.paused,
        "switched_at": endpoint.switched_at,
        "updated_at": endpoint.updated_at,
    }


def _config(db: Session, row: asyncpg.Record) -> dict[str, Any]:
    """Return what is configured, by the names of attributes, which are those of the columns."""
    encrypted = row["sealed_headers"]
    headers = (
        {} if encrypted is None else dict(HEADERS.decode(db.cipher.decrypt(encrypted, row=_headers_row(row["id"]))))
    )
    config = {one.name: row[one.name] for one in CONFIG if one.name != "headers"}
    config = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    profile, ordering = SignatureProfile(row["signature_profile"]), Ordering(row["ordering"])
    return config | {"headers": headers, "signature_profile": profile, "ordering": ordering}


def _endpoint(db: Session, row: asyncpg.Record) -> Endpoint:
    return struct_of(Endpoint, row, **_config(db, row), tenant=tenant_of(row))


def _unreadable(row: asyncpg.Record) -> Unreadable:
    return Unreadable(name=text_of(Prefix.ENDPOINT, row["id"]), id=row["id"])


async def add_secret(db: Session, tenant: Tenant, endpoint_id: UUID, *, secret: str, now: datetime) -> None:
    """Store a secret that signs from now on (aware UTC)."""
    secret_id = new_id()
    await db.conn.execute(
        "INSERT INTO endpoint_secrets (id, account_id, endpoint_id, sealed_secret, created_at) VALUES ($1,$2,$3,$4,$5)",
        secret_id,
        tenant.account_id,
        endpoint_id,
        db.cipher.encrypt(secret.encode(), row=secret_row(secret_id)),
        now,
    )


async def signing_secrets(db: Session, tenant: Tenant, endpoint_id: UUID, *, now: datetime) -> Sequence[SigningSecret]:
    """Return the secrets of the tenant's endpoint that sign at `now` (aware UTC), newest first."""
    rows = await db.conn.fetch(
        f"""
        SELECT s.id, s.sealed_secret, s.expires_at
        FROM endpoints e JOIN endpoint_secrets s ON s.endpoint_id = e.id
        WHERE e.account_id = $1 AND e.mode = $2 AND e.id = $3 AND (s.expires_at IS NULL OR s.expires_at > $4)
        ORDER BY {NEWEST_FIRST}
        """,
        *tenant,
        endpoint_id,
        now,
    )
    return [
        SigningSecret(
            secret=db.cipher.decrypt(row["sealed_secret"], row=secret_row(row["id"])).decode(),
            expires_at=row["expires_at"],
        )
        for row in rows
    ]


async def lock_to_rotate(db: Session, tenant: Tenant, endpoint_id: UUID) -> bool:
    """Lock the tenant's endpoint for a rotation and have dispatchers read it again; false where there is none."""
    found = await db.conn.fetchval(
        """
        UPDATE endpoints SET version = version + 1 WHERE account_id = $1 AND mode = $2 AND id = $3 RETURNING true
        """,
        *tenant,
        endpoint_id,
    )
    return bool(found)


async def expire_secrets(db: Session, endpoint_id: UUID, *, at: datetime, now: datetime) -> None:
    """Let the endpoint's secrets sign until `at` and no longer, and delete those that have ended; times aware UTC."""
    await db.conn.execute(
        "UPDATE endpoint_secrets SET expires_at = $2 WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > $2)",
        endpoint_id,
        at,
    )
    await db.conn.execute("DELETE FROM endpoint_secrets WHERE endpoint_id = $1 AND expires_at <= $2", endpoint_id, now)


async def delete_secret(db: Session, endpoint_id: UUID, secret: str, *, now: datetime) -> None:
    """Delete a secret that signs for the endpoint at `now` (aware UTC), in whatever place."""
    rows = await db.conn.fetch(
        """
        SELECT id, sealed_secret FROM endpoint_secrets
        WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > $2)
        """,
        endpoint_id,
        now,
    )
    opened = {row["id"]: db.cipher.decrypt(row["sealed_secret"], row=secret_row(row["id"])) for row in rows}
    same = [secret_id for secret_id, one in opened.items() if one == secret.encode()]
    await db.conn.execute("DELETE FROM endpoint_secrets WHERE id = ANY($1)", same)


def secret_row(secret_id: UUID) -> str:
    """Return what an encrypted secret is bound to."""
    return f"endpoint_secrets.secret.{secret_id}"
