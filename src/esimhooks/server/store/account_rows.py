"""The rows of one account as documents: all that another installation needs to go on with it, and nothing of others.

An account comes in, documents of its rows go out, and the other way round. What is encrypted leaves decrypted, so the
caller encrypts what it stores, and comes in to be encrypted with this installation's key. Sessions of people stay behind:
they sign in again. Nothing is decided here.
"""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from esimhooks.server.domain.ids import made_at
from esimhooks.server.store.database import Session
from esimhooks.server.store.partitions import TABLES as PARTITIONED
from esimhooks.server.store.rekey import ENCRYPTED_COLUMNS

Document = dict[str, object]

ROWS = 500
TIMEOUT_S = 600.0
_ESIMS = "SELECT id FROM esims WHERE account_id = $1"
_OWN_NOTIFICATION = f"""
    (t.account_id = $1 OR t.account_id IS NULL AND t.esim_id IN ({_ESIMS})
     AND (t.esim_ids IS NULL OR t.esim_ids <@ ARRAY({_ESIMS})))
"""
"""One that speaks of this account's eSIMs and of no other's."""
_ANY_NOTIFICATION = f"(t.account_id = $1 OR t.esim_id IN ({_ESIMS}) OR t.esim_ids && ARRAY({_ESIMS}))"


def _of(notifications: str) -> str:
    return f"t.notification_id IN (SELECT t.id FROM notifications t WHERE {notifications})"


class Table(Struct, frozen=True):
    """Which rows of a table `t` are the account's ($1), without the columns that are of one installation only.

    `outlives` is the key of rows that stay where their account is deleted: an account that comes back finds its own.
    """

    name: str
    where: str = "t.account_id = $1"
    without: tuple[str, ...] = ()
    instead: str = "'{}'::jsonb"
    order: str = ""
    outlives: str = ""


TABLES = (
    Table("accounts", "t.id = $1"),
    Table("account_quotas"),
    Table("quota_buckets"),
    Table("brandings", outlives="account_id"),
    Table("endpoints"),
    Table("endpoint_secrets"),
    Table("api_keys"),
    Table("key_roles", "t.key_id IN (SELECT id FROM api_keys WHERE account_id = $1)"),
    Table("orders"),
    Table("esims"),
    Table("event_heads", outlives="account_id, mode"),
    Table("seen_notifications", _of(_ANY_NOTIFICATION)),
    Table("notifications", _OWN_NOTIFICATION, outlives="id"),
    Table("backlog", _of(_OWN_NOTIFICATION), outlives="notification_id"),
    Table("unmatched_notifications", _of(_OWN_NOTIFICATION)),
    Table("events", outlives="id"),
    Table("deliveries", outlives="id"),
    Table("attempts", outlives="id"),
    Table(
        "lanes",
        without=("lease_token", "leased_by", "leased_until"),
        instead="""
        (SELECT jsonb_build_object('open', e.enabled AND NOT e.paused) FROM endpoints e WHERE e.id = t.endpoint_id)
        """,
    ),
    Table(
        "queue",
        without=("position", "claim_token"),
        instead="jsonb_build_object('claims', t.attempts)",
        order="ORDER BY t.position",
    ),
    Table("fan_outs", outlives="event_id"),
    Table("jobs", without=("due_at",)),
    Table("idempotent_answers", outlives="account_id, mode, key"),
    Table("audit_entries", outlives="id"),
)
"""In the order in which they can be stored: what is referred to comes first. The rows of the queue keep their order."""

_ENCRYPTED = {
    table.name: {column.name: column.row for column in ENCRYPTED_COLUMNS if column.table == table.name}
    for table in TABLES
}


async def read(db: Session, account_id: UUID, table: Table) -> AsyncIterator[list[Document]]:
    """Yield the account's rows of a table, some at a time; needs a transaction. Raises `Undecryptable`."""
    sql = f"""
        SELECT (to_jsonb(t) - $2::text[]) || {table.instead} AS row FROM {table.name} t WHERE {table.where} {table.order}
    """
    cursor = await db.conn.cursor(sql, account_id, list(table.without), timeout=TIMEOUT_S)
    while rows := await cursor.fetch(ROWS, timeout=TIMEOUT_S):
        yield [_decrypt(db, table, row["row"]) for row in rows]


async def write(db: Session, table: Table, rows: Sequence[Document]) -> None:
    """Store rows of another installation; needs a transaction."""
    encrypted = [_encrypt(db, table, row) for row in rows]
    if table.name == "seen_notifications":
        await _write_seen(db, encrypted)
        return
    known = await db.conn.fetch(
        "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        table.name,
    )
    names = sorted({row["attname"] for row in known} & rows[0].keys())
    columns = ", ".join(names)
    newer = ", ".join(f"{name} = excluded.{name}" for name in names if name not in table.outlives.split(", "))
    instead = f"ON CONFLICT ({table.outlives}) DO UPDATE SET {newer}" if table.outlives else ""
    await db.conn.execute(
        f"""
        INSERT INTO {table.name} ({columns}) SELECT {columns} FROM jsonb_populate_recordset(NULL::{table.name}, $1)
        {instead}
        """,
        encrypted,
        timeout=TIMEOUT_S,
    )


async def _write_seen(db: Session, rows: Sequence[Document]) -> None:
    """Store what has been applied there, and do not look again at what came here too and found no eSIM yet."""
    await db.conn.execute(
        """
        WITH applied AS (
            SELECT * FROM jsonb_populate_recordset(NULL::seen_notifications, $1)
        ), done AS (
            DELETE FROM unmatched_notifications u USING applied a JOIN seen_notifications s USING (source, digest)
            WHERE u.notification_id = s.notification_id
        )
        INSERT INTO seen_notifications SELECT * FROM applied ON CONFLICT DO NOTHING
        """,
        rows,
        timeout=TIMEOUT_S,
    )


async def wake_unmatched(db: Session, account_id: UUID, *, frozen_at: datetime) -> int:
    """Look again at what came here for the account's eSIMs and found none; return at how much.

    What has no id or time of its own is known again only by when it came: before the account was frozen it was applied
    where it was.
    """
    rows = await db.conn.fetch(
        """
        WITH meant AS (
            SELECT u.notification_id FROM esims e JOIN unmatched_notifications u
                ON u.esim_tran_no = e.esim_tran_no OR u.order_no = e.order_no OR u.transaction_id = e.transaction_id
            WHERE e.account_id = $1 AND u.source IN (e.provider, 'updates')
        ), known_again AS (
            SELECT notification_id FROM seen_notifications JOIN meant USING (notification_id)
        ), woken AS (
            DELETE FROM unmatched_notifications u
            WHERE u.notification_id IN (SELECT notification_id FROM meant)
              AND (u.received_at >= $2 OR u.notification_id IN (SELECT notification_id FROM known_again))
            RETURNING u.notification_id, u.source, u.received_at
        )
        INSERT INTO backlog (notification_id, source, received_at, due_at)
        SELECT DISTINCT ON (notification_id) notification_id, source, received_at, now() FROM woken
        ON CONFLICT DO NOTHING RETURNING 1
        """,
        account_id,
        frozen_at,
        timeout=TIMEOUT_S,
    )
    return len(rows)


async def providers_of(db: Session, account_id: UUID) -> dict[str, str]:
    """Return the names of the providers of the account's eSIMs and orders, each with its kind."""
    rows = await db.conn.fetch(
        """
        SELECT p.name, p.kind FROM providers p
        WHERE EXISTS (SELECT FROM esims e WHERE e.account_id = $1 AND e.provider = p.name)
           OR EXISTS (SELECT FROM orders o WHERE o.account_id = $1 AND o.provider = p.name)
        """,
        account_id,
        timeout=TIMEOUT_S,
    )
    return {row["name"]: row["kind"] for row in rows}


async def kinds_of_providers(db: Session, names: Sequence[str]) -> dict[str, str]:
    """Return the kinds of those of the providers that are configured here."""
    rows = await db.conn.fetch("SELECT name, kind FROM providers WHERE name = ANY ($1)", names)
    return {row["name"]: row["kind"] for row in rows}


async def oldest_day(db: Session, account_id: UUID) -> datetime | None:
    """Return when the oldest row of the account's history was made, aware UTC; None without any."""
    times = []
    for table in TABLES:
        if table.name in PARTITIONED:
            oldest = await db.conn.fetchval(
                f"SELECT t.id FROM {table.name} t WHERE {table.where} ORDER BY t.id LIMIT 1",
                account_id,
                timeout=TIMEOUT_S,
            )
            times += [made_at(oldest)] if oldest is not None else []
    return min(times, default=None)


def _decrypt(db: Session, table: Table, row: Document) -> Document:
    return row | {
        name: base64.b64encode(db.cipher.decrypt(_bytes_of(row[name]), row=bound.format(**row))).decode()
        for name, bound in _ENCRYPTED[table.name].items()
        if row[name] is not None
    }


def _encrypt(db: Session, table: Table, row: Mapping[str, object]) -> Document:
    values = dict(row)
    for name, bound in _ENCRYPTED[table.name].items():
        if (value := msgspec.convert(row[name], str | None)) is not None:
            values[name] = rf"\x{db.cipher.encrypt(base64.b64decode(value), row=bound.format(**row)).hex()}"
    return values


def _bytes_of(value: object) -> bytes:
    """Return the bytes of PostgreSQL's `\\x...`."""
    return bytes.fromhex(str(value).removeprefix(r"\x"))
