"""Looking rows up by what a person has in hand: an id of any kind, or a number that an eSIM or its order has."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.hit import Hit
from esimhooks.server.domain.ids import Prefix
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode

OF_TENANTS = {
    Prefix.ESIM: "SELECT account_id, mode, NULL::uuid AS part_of FROM esims WHERE id = $1",
    Prefix.EVENT: "SELECT account_id, mode, NULL::uuid AS part_of FROM events WHERE id = $1",
    Prefix.ENDPOINT: "SELECT account_id, mode, NULL::uuid AS part_of FROM endpoints WHERE id = $1",
    Prefix.DELIVERY: "SELECT account_id, mode, NULL::uuid AS part_of FROM deliveries WHERE id = $1",
    Prefix.RECOVERY: "SELECT account_id, mode, endpoint_id AS part_of FROM jobs WHERE id = $1 AND kind = 'recovery'",
    Prefix.REQUERY: "SELECT account_id, mode, NULL::uuid AS part_of FROM jobs WHERE id = $1 AND kind = 'requery'",
    Prefix.ATTEMPT: """
        SELECT d.account_id, d.mode, d.id AS part_of FROM attempts a JOIN deliveries d ON d.id = a.delivery_id
        WHERE a.id = $1
    """,
}
OF_OPERATORS = {
    Prefix.ACCOUNT: "SELECT NULL::uuid AS part_of FROM accounts WHERE id = $1",
    Prefix.KEY: "SELECT account_id AS part_of FROM api_keys WHERE id = $1",
    Prefix.NOTIFICATION: "SELECT NULL::uuid AS part_of FROM notifications WHERE id = $1",
}
NUMBERS = ("iccid", "transaction_id", "order_no", "esim_tran_no")
"""Columns of eSIMs that have an index of their own."""
SHOWN = "id, account_id, mode, package_name"


async def by_id(db: Session, tenant: Tenant | None, kind: Prefix, row_id: UUID) -> Hit | None:
    """Return the tenant's row with that id, or None; of whichever tenant for an operator, who has none."""
    if kind in OF_OPERATORS:
        row = None if tenant else await db.conn.fetchrow(OF_OPERATORS[kind], row_id)
        return None if row is None else Hit(kind=kind, id=row_id, part_of=row["part_of"])
    row = await db.conn.fetchrow(OF_TENANTS[kind], row_id)
    if row is None:
        return None
    owner = Tenant(row["account_id"], Mode(row["mode"]))
    return Hit(kind=kind, id=row_id, tenant=owner, part_of=row["part_of"]) if tenant in (None, owner) else None


async def audit_entry(db: Session, tenant: Tenant | None, entry_id: UUID) -> Hit | None:
    """Return the tenant's audit entry with that id, labelled with what it is about, or None; an operator sees all."""
    row = await db.conn.fetchrow("SELECT account_id, mode, subject FROM audit_entries WHERE id = $1", entry_id)
    if row is None or (tenant and (row["account_id"], row["mode"]) != (tenant.account_id, tenant.mode)):
        return None
    return Hit(kind=Prefix.AUDIT, id=entry_id, label=row["subject"])


async def by_number(db: Session, tenant: Tenant | None, number: str, *, limit: int) -> Sequence[Hit]:
    """Return the newest of the tenant's eSIMs (an operator's: all) that have this number, themselves or by their order."""
    whose, values = _whose(tenant)
    found = " UNION ".join(
        f"(SELECT {SHOWN} FROM esims WHERE {column} = $1 AND {whose} ORDER BY id DESC LIMIT $2)" for column in NUMBERS
    )
    rows = await db.conn.fetch(f"SELECT * FROM ({found}) found ORDER BY id DESC LIMIT $2", number, limit, *values)
    return [_esim(row) for row in rows]


async def by_order(db: Session, tenant: Tenant | None, order_id: UUID, *, limit: int) -> Sequence[Hit]:
    """Return the newest of the tenant's eSIMs (an operator's: all) that came with this order."""
    whose, values = _whose(tenant)
    rows = await db.conn.fetch(
        f"SELECT {SHOWN} FROM esims WHERE order_id = $1 AND {whose} ORDER BY id DESC LIMIT $2", order_id, limit, *values
    )
    return [_esim(row) for row in rows]


def _whose(tenant: Tenant | None) -> tuple[str, tuple[object, ...]]:
    """Return the condition for a tenant's eSIMs, for $3 and $4; an operator may look at all."""
    return ("true", ()) if tenant is None else ("account_id = $3 AND mode = $4", (tenant.account_id, tenant.mode))


def _esim(row: asyncpg.Record) -> Hit:
    owner = Tenant(row["account_id"], Mode(row["mode"]))
    return Hit(kind=Prefix.ESIM, id=row["id"], tenant=owner, label=row["package_name"])
