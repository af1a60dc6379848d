"""eSIMs: finding, locking and writing their state. What a person could use to install one is encrypted."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import (
    NOTHING_FURTHER,
    NOTHING_REPORTED,
    Esim,
    EsimFilter,
    Further,
    OpenTopUp,
    Reported,
)
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.validity import EXPIRES
from esimhooks.server.store.database import Session
from esimhooks.server.store.encryption import readable
from esimhooks.server.store.freezing import IS_OPEN
from esimhooks.server.store.statements import Columns, Parameters
from esimhooks.vocabulary.statuses import EsimStatus, Mode, SmdpStatus

PLAIN = {
    "id": "uuid",
    "account_id": "uuid",
    "mode": "text",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "order_id": "uuid",
    "provider": "text",
    "transaction_id": "text",
    "order_no": "text",
    "esim_tran_no": "text",
    "package_code": "text",
    "package_name": "text",
    "iccid": "text",
    "imsi": "text",
    "msisdn": "text",
    "eid": "text",
    "apn": "text",
    "status": "text",
    "status_at": "timestamptz",
    "smdp_status": "text",
    "smdp_at": "timestamptz",
    "smdp_sequence": "bigint",
    "smdp_unnumbered": "boolean",
    "total_bytes": "bigint",
    "used_bytes": "bigint",
    "usage_at": "timestamptz",
    "total_days": "integer",
    "activate_at": "timestamptz",
    "expire_at": "timestamptz",
    "validity_at": "timestamptz",
    "sequence": "integer",
    "usage_emitted_at": "timestamptz",
    "pending_until": "timestamptz",
    "validity_days_noticed": "integer",
}
RENAMED = {"usage_emitted_at": "usage_told_at"}
"""Columns that have another name than the member."""
DOCUMENTS = {
    "reported": Reported,
    "reported_at": dict[str, datetime],
    "further": Further,
    "last_digests": dict[str, str],
}
"""Members that are kept as JSON, null where there is nothing in them."""
CREDENTIALS = ("ac", "qr_code_url", "short_url")
COLUMNS = {RENAMED.get(name, name): kind for name, kind in PLAIN.items()} | {
    **dict.fromkeys(DOCUMENTS, "jsonb"),
    "sealed_credentials": "bytea",
    "sealed_held": "bytea",
}
"""What is written of an eSIM, in the order of `row_of`."""


async def lock_of_order(db: Session, order_id: UUID, *, but_not: Collection[EsimStatus]) -> Sequence[UUID]:
    """Lock the eSIMs of an order, but not those of a status, and return their ids; needs a transaction."""
    rows = await db.conn.fetch(
        "SELECT id FROM esims WHERE order_id = $1 AND (status = ANY ($2)) IS NOT TRUE ORDER BY id FOR UPDATE",
        order_id,
        list(but_not),
    )
    return [row["id"] for row in rows]


async def open_top_up(db: Session, esim_id: UUID, top_up: OpenTopUp) -> None:
    """Write down a top-up that was ordered for the eSIM, until its volume is reported."""
    await db.conn.execute(
        """
        UPDATE esims SET further = coalesce(further, '{}'::jsonb) || jsonb_build_object(
            'open_top_ups', coalesce(further -> 'open_top_ups', '[]'::jsonb) || $2::jsonb)
        WHERE id = $1
        """,
        esim_id,
        [msgspec.to_builtins(top_up)],
    )


async def of_order(
    db: Session, tenant: Tenant, order_id: UUID, *, topped_up: UUID | None = None
) -> list[Esim | Unreadable]:
    """Return the eSIMs of the tenant's order, in the order they were made, and the one that it tops up."""
    rows = await db.conn.fetch(
        "SELECT * FROM esims WHERE account_id = $1 AND mode = $2 AND (order_id = $3 OR id = $4) ORDER BY id",
        *tenant,
        order_id,
        topped_up,
    )
    return listed(db, rows)


IS_EXPIRED = f"""status IN ({", ".join(f"'{status}'" for status in EXPIRES)}) AND expire_at <= now()
          AND (status_at IS NULL OR status_at <= expire_at)
          AND {IS_OPEN}"""
HAS_PENDING_USAGE = f"pending_until <= now() AND {IS_OPEN}"


async def lock_expired(db: Session, *, limit: int, but_not: Collection[UUID] = ()) -> Sequence[Esim | Unreadable]:
    """Lock and return eSIMs whose validity is over, by the database's clock, and whose provider has said nothing since.

    Rows that another node works on are passed over; needs a transaction.
    """
    rows = await db.conn.fetch(
        f"""
        SELECT * FROM esims
        WHERE {IS_EXPIRED} AND id <> ALL ($2)
        ORDER BY expire_at LIMIT $1 FOR UPDATE SKIP LOCKED
        """,
        limit,
        list(but_not),
    )
    return listed(db, rows)


async def lock_with_pending_usage(db: Session, *, limit: int, but_not: Collection[UUID] = ()) -> Sequence[UUID]:
    """Lock eSIMs whose pushed usage has waited for the interval and return their ids; needs a transaction."""
    rows = await db.conn.fetch(
        f"""
        SELECT id FROM esims WHERE {HAS_PENDING_USAGE} AND id <> ALL ($2)
        ORDER BY pending_until LIMIT $1 FOR UPDATE SKIP LOCKED
        """,
        limit,
        list(but_not),
    )
    return [row["id"] for row in rows]


async def insert(db: Session, esims: Sequence[Esim]) -> None:
    """Store new eSIMs."""
    await _TABLE.insert(db, [row_of(db, esim) for esim in esims])


async def shares_key(db: Session, esim: Esim) -> bool:
    """Return whether another eSIM has this one's key, which may be had once: of a provider, or (without one) of a tenant."""
    return bool(
        await db.conn.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM esims
                WHERE esim_tran_no = $1 AND id <> $2 AND provider IS NOT DISTINCT FROM $3
                  AND ($3::text IS NOT NULL OR account_id = $4 AND mode = $5))
            """,
            esim.esim_tran_no,
            esim.id,
            esim.provider,
            esim.account_id,
            esim.mode,
        )
    )


async def find(db: Session, tenant: Tenant, esim_id: UUID) -> Esim | None:
    """Return the tenant's eSIM, or None."""
    row = await db.conn.fetchrow(
        "SELECT * FROM esims WHERE account_id = $1 AND mode = $2 AND id = $3", *tenant, esim_id
    )
    return None if row is None else esim_of(db, row)


async def find_any(db: Session, esim_id: UUID) -> Esim | None:
    """Return an eSIM of any tenant, or None; for operators, and for requests that prove ownership by its address."""
    row = await db.conn.fetchrow("SELECT * FROM esims WHERE id = $1", esim_id)
    return None if row is None else esim_of(db, row)


async def page(
    db: Session, tenant: Tenant, where: EsimFilter, *, before: UUID | None, limit: int
) -> Sequence[Esim | Unreadable]:
    """Return the tenant's eSIMs, newest first, older than the id `before`. There is an index for each filter."""
    parameters = Parameters()
    filters = {
        "account_id": tenant.account_id,
        "mode": tenant.mode,
        "status": where.status,
        "iccid": where.iccid,
        "transaction_id": where.transaction_id,
        "order_no": where.order_no,
    }
    conditions = parameters.equal(filters)
    conditions += parameters.between(first=None, last=None, before=before)
    rows = await db.conn.fetch(
        f"SELECT * FROM esims WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT {parameters(limit)}",
        *parameters.values,
    )
    return listed(db, rows)


def row_of(db: Session, esim: Esim) -> list[object]:
    """Return the values of `COLUMNS`."""
    credentials = {name: value for name in CREDENTIALS if (value := getattr(esim, name)) is not None}
    return [
        *(getattr(esim, name) for name in PLAIN),
        *(_document(getattr(esim, name)) for name in DOCUMENTS),
        _encrypt(db, credentials, _row(esim.id, "credentials")),
        _encrypt(db, esim.pending_changes, _row(esim.id, "held")),
    ]


def _document(value: object) -> object:
    return None if value in ({}, NOTHING_REPORTED, NOTHING_FURTHER) else value


def _encrypt(db: Session, values: object, row: str) -> bytes | None:
    return db.cipher.encrypt(msgspec.json.encode(values), row=row) if values else None


def _decrypt(db: Session, encrypted: bytes | None, row: str) -> dict[str, object]:
    return (
        {} if encrypted is None else msgspec.json.decode(db.cipher.decrypt(encrypted, row=row), type=dict[str, object])
    )


def _row(esim_id: UUID, column: str) -> str:
    return f"esims.{column}.{esim_id}"


def listed(db: Session, rows: Sequence[asyncpg.Record]) -> list[Esim | Unreadable]:
    """Return the eSIMs of rows that have all columns; for lists, which must show the others where one is unreadable."""
    return readable(rows, lambda row: esim_of(db, row), _unreadable)


def esim_of(db: Session, row: asyncpg.Record) -> Esim:
    """Return the eSIM of a row that has all of its columns. Raises `Broken` where it does not decrypt."""
    values = {name: row[RENAMED.get(name, name)] for name in PLAIN}
    values["mode"] = Mode(row["mode"])
    values["status"] = None if row["status"] is None else EsimStatus(row["status"])
    values["smdp_status"] = None if row["smdp_status"] is None else SmdpStatus(row["smdp_status"])
    for name, kind in DOCUMENTS.items():
        if row[name] is not None:
            values[name] = msgspec.convert(row[name], kind)
    values |= _decrypt(db, row["sealed_credentials"], _row(row["id"], "credentials"))
    values["pending_changes"] = _decrypt(db, row["sealed_held"], _row(row["id"], "held"))
    return Esim(**values)


def _unreadable(row: asyncpg.Record) -> Unreadable:
    return Unreadable(name=text_of(Prefix.ESIM, row["id"]), id=row["id"])


_TABLE = Columns("esims", COLUMNS)
