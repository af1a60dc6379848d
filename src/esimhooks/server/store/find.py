"""Finding rows by what a person has in hand, an id of any kind or a number, and what a trace is put together from.

All reads are bounded. Without a tenant, and where the name says owner, rows of any tenant are looked at: for operators.
"""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from esimhooks.server.domain.delivery import Attempt
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.find import Hit
from esimhooks.server.domain.ids import Prefix, first_id_beside
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.store import esims, events
from esimhooks.server.store.database import Session
from esimhooks.server.store.deliveries import attempt_of
from esimhooks.server.store.statements import tenant_of

OF_TENANTS = {
    Prefix.ESIM: "SELECT account_id, mode, NULL::uuid AS part_of FROM esims WHERE id = $1",
    Prefix.ORDER: "SELECT account_id, mode, NULL::uuid AS part_of FROM orders WHERE id = $1",
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
    owner = tenant_of(row)
    return Hit(kind=kind, id=row_id, tenant=owner, part_of=row["part_of"]) if tenant in (None, owner) else None


async def audit_entry(db: Session, tenant: Tenant | None, entry_id: UUID) -> Hit | None:
    """Return the tenant's audit entry with that id, labelled with what it is about, or None; an operator sees all."""
    row = await db.conn.fetchrow("SELECT account_id, mode, subject FROM audit_entries WHERE id = $1", entry_id)
    if row is None or (tenant and (row["account_id"], row["mode"]) != (tenant.account_id, tenant.mode)):
        return None
    return Hit(kind=Prefix.AUDIT, id=entry_id, label=row["subject"])


async def by_number(db: Session, tenant: Tenant | None, number: str, *, limit: int) -> Sequence[Hit]:
    """Return the newest of the tenant's eSIMs (an operator's: all) that have this number, themselves or by their order."""
    owned, values = _owned_by(tenant)
    found = " UNION ".join(
        f"(SELECT {SHOWN} FROM esims WHERE {column} = $1 AND {owned} ORDER BY id DESC LIMIT $2)" for column in NUMBERS
    )
    rows = await db.conn.fetch(f"SELECT * FROM ({found}) found ORDER BY id DESC LIMIT $2", number, limit, *values)
    return [_esim(row) for row in rows]


async def by_fragment(
    db: Session, tenant: Tenant | None, fragment: str, *, limit: int, max_scanned: int
) -> Sequence[Hit]:
    """Return what has the fragment (lower case) in a number or name: accounts for operators, endpoints, the newest eSIMs.

    Of eSIMs the newest `max_scanned` are looked at, as no index serves a fragment.
    """
    owned, values = _owned_by(tenant)
    owned = owned if values else "$3::uuid IS NULL AND $4::text IS NULL"
    rows = await db.conn.fetch(
        f"""
        (SELECT 'acc' AS kind, id, NULL::uuid AS account_id, NULL AS mode, name AS label FROM accounts
         WHERE $5 AND strpos(lower(name), $1) > 0 ORDER BY id DESC LIMIT $2)
        UNION ALL
        (SELECT 'ep', id, account_id, mode, coalesce(name, url) FROM endpoints
         WHERE {owned} AND strpos(lower(concat_ws(' ', name, url)), $1) > 0 ORDER BY id DESC LIMIT $2)
        UNION ALL
        (SELECT 'esim', id, account_id, mode, concat_ws(', ', package_name, iccid, transaction_id) FROM (
            SELECT * FROM esims WHERE {owned} ORDER BY id DESC LIMIT $6) newest
         WHERE strpos(lower(concat_ws(' ', iccid, imsi, msisdn, eid, transaction_id, order_no, esim_tran_no, package_name,
                                      package_code)), $1) > 0
         ORDER BY id DESC LIMIT $2)
        LIMIT $2
        """,
        fragment,
        limit,
        *(values or (None, None)),
        tenant is None,
        max_scanned,
    )
    return [
        Hit(
            kind=Prefix(row["kind"]),
            id=row["id"],
            tenant=None if row["account_id"] is None else tenant_of(row),
            label=row["label"],
        )
        for row in rows
    ]


async def by_order(db: Session, tenant: Tenant | None, order_id: UUID, *, limit: int) -> Sequence[Hit]:
    """Return the newest of the tenant's eSIMs (an operator's: all) that came with this order, or that it tops up."""
    owned, values = _owned_by(tenant)
    rows = await db.conn.fetch(
        f"""
        SELECT {SHOWN} FROM esims
        WHERE (order_id = $1 OR id = (SELECT esim_id FROM orders WHERE id = $1)) AND {owned} ORDER BY id DESC LIMIT $2
        """,
        order_id,
        limit,
        *values,
    )
    return [_esim(row) for row in rows]


async def concern_of(db: Session, notification_id: UUID) -> tuple[Tenant | None, UUID | None] | None:
    """Return the tenant of a notification (None: unknown), and its eSIM; None without such a notification. For operators."""
    entry = await db.conn.fetchrow(
        """
        SELECT coalesce(e.account_id, n.account_id) AS account_id, coalesce(e.mode, n.mode) AS mode, n.esim_id
        FROM notifications n LEFT JOIN esims e ON e.id = n.esim_id WHERE n.id = $1
        """,
        notification_id,
    )
    if entry is None:
        return None
    event = await db.conn.fetchrow(
        "SELECT account_id, mode FROM events WHERE notification_id = $1 AND id >= $2 LIMIT 1",
        notification_id,
        first_id_beside(notification_id),
    )
    row = event or entry
    return None if row["account_id"] is None else tenant_of(row), entry["esim_id"]


async def owner_of_trace(db: Session, trace_id: str) -> Tenant | None:
    """Return the tenant whose events were raised in a trace (32 hex digits), or None; for operators."""
    row = await db.conn.fetchrow(
        "SELECT account_id, mode FROM events WHERE substr(traceparent, 4, 32) = $1 LIMIT 1", trace_id
    )
    return None if row is None else tenant_of(row)


async def events_in_trace(db: Session, tenant: Tenant, trace_id: str, *, limit: int) -> list[UUID]:
    """Return the ids of the tenant's events that were raised in a trace (32 hex digits), newest first."""
    rows = await db.conn.fetch(
        """
        SELECT id FROM events WHERE substr(traceparent, 4, 32) = $3 AND account_id = $1 AND mode = $2
        ORDER BY id DESC LIMIT $4
        """,
        *tenant,
        trace_id,
        limit,
    )
    return [row["id"] for row in rows]


async def events_of_notification(
    db: Session, tenant: Tenant, notification_id: UUID, *, limit: int
) -> list[Event | Unreadable]:
    """Return the tenant's events that a notification raised, newest first."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM events WHERE notification_id = $3 AND id >= $4 AND account_id = $1 AND mode = $2
        ORDER BY id DESC LIMIT $5
        """,
        *tenant,
        notification_id,
        first_id_beside(notification_id),
        limit,
    )
    return events.listed(db, rows)


async def events_with_ids(db: Session, tenant: Tenant, ids: Sequence[UUID], *, limit: int) -> list[Event | Unreadable]:
    """Return the tenant's events with these ids, newest first."""
    rows = await db.conn.fetch(
        "SELECT * FROM events WHERE id = ANY($3) AND account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT $4",
        *tenant,
        ids,
        limit,
    )
    return events.listed(db, rows)


async def events_of_esims(
    db: Session, tenant: Tenant, esim_ids: Sequence[UUID], *, limit: int
) -> list[Event | Unreadable]:
    """Return the newest events of the tenant's eSIMs, newest first."""
    rows = await db.conn.fetch(
        """
        SELECT found.* FROM unnest($3::uuid[]) AS esim (id) CROSS JOIN LATERAL (
            SELECT * FROM events WHERE esim_id = esim.id AND account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT $4
        ) found
        ORDER BY found.id DESC LIMIT $4
        """,
        *tenant,
        esim_ids,
        limit,
    )
    return events.listed(db, rows)


async def esims_of(db: Session, tenant: Tenant, ids: Sequence[UUID], *, limit: int) -> list[Esim | Unreadable]:
    """Return the tenant's eSIMs with these ids, newest first."""
    rows = await db.conn.fetch(
        "SELECT * FROM esims WHERE id = ANY($3) AND account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT $4",
        *tenant,
        ids,
        limit,
    )
    return esims.listed(db, rows)


async def attempts_of(
    db: Session, tenant: Tenant, delivery_ids: Sequence[UUID], *, limit: int
) -> list[tuple[UUID, Attempt]]:
    """Return the attempts of the tenant's deliveries, each with its delivery's id, first to last."""
    if not delivery_ids:
        return []
    rows = await db.conn.fetch(
        """
        SELECT * FROM attempts WHERE delivery_id = ANY($2) AND account_id = $1 AND id >= $3 ORDER BY id LIMIT $4
        """,
        tenant.account_id,
        delivery_ids,
        first_id_beside(min(delivery_ids)),
        limit,
    )
    return [(row["delivery_id"], attempt_of(db, row)) for row in rows]


def _owned_by(tenant: Tenant | None) -> tuple[str, tuple[object, ...]]:
    """Return the condition for a tenant's eSIMs, for $3 and $4; an operator may look at all."""
    return ("true", ()) if tenant is None else ("account_id = $3 AND mode = $4", (tenant.account_id, tenant.mode))


def _esim(row: asyncpg.Record) -> Hit:
    return Hit(kind=Prefix.ESIM, id=row["id"], tenant=tenant_of(row), label=row["package_name"])
