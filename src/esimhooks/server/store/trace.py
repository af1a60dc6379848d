"""What a trace is put together from: whose a row is, events of a notification or of eSIMs, attempts of deliveries.

All reads are bounded. Only `owner_of` and `owner_of_notification` look at rows of any tenant; they are for operators.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from esimhooks.server.domain.delivery import Attempt
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, first_id_of, made_at
from esimhooks.server.domain.notification import JournalEntry
from esimhooks.server.store.database import Session
from esimhooks.server.store.deliveries import attempt_of
from esimhooks.server.store.esims import esim_of
from esimhooks.server.store.events import event_of
from esimhooks.server.store.journal import entry_of
from esimhooks.vocabulary.statuses import Mode

TABLES = {
    Prefix.ESIM: "esims",
    Prefix.ORDER: "orders",
    Prefix.EVENT: "events",
    Prefix.ENDPOINT: "endpoints",
    Prefix.DELIVERY: "deliveries",
}
CLOCKS = timedelta(minutes=1)
"""How far the clocks of nodes may be apart: an event may bear an older time than its notification."""


async def owner_of(db: Session, kind: Prefix, row_id: UUID) -> Tenant | None:
    """Return whose row that is, or None where there is no such row; for operators."""
    row = await db.conn.fetchrow(f"SELECT account_id, mode FROM {TABLES[kind]} WHERE id = $1", row_id)
    return None if row is None else _tenant(row)


async def owner_of_notification(db: Session, entry: JournalEntry) -> Tenant | None:
    """Return whom a notification concerned, by its events or its eSIM, or None where nobody; for operators."""
    row = await db.conn.fetchrow(
        "SELECT account_id, mode FROM events WHERE notification_id = $1 AND id >= $2 LIMIT 1",
        entry.id,
        _since(entry.id),
    ) or await db.conn.fetchrow("SELECT account_id, mode FROM esims WHERE id = $1", entry.esim_id)
    return entry.tenant if row is None else _tenant(row)


async def owner_of_trace(db: Session, trace_id: str) -> Tenant | None:
    """Return whose events were raised in a trace (32 hex digits), or None where nobody's; for operators."""
    row = await db.conn.fetchrow(
        "SELECT account_id, mode FROM events WHERE substr(traceparent, 4, 32) = $1 LIMIT 1", trace_id
    )
    return None if row is None else _tenant(row)


async def delivery_of_attempt(db: Session, attempt_id: UUID) -> UUID | None:
    """Return the delivery of an attempt, which tells whose it is, or None."""
    found: UUID | None = await db.conn.fetchval("SELECT delivery_id FROM attempts WHERE id = $1", attempt_id)
    return found


async def events_in_trace(db: Session, tenant: Tenant, trace_id: str, *, limit: int) -> list[UUID]:
    """Return the ids of the tenant's events that were raised in a trace (32 hex digits), newest first."""
    rows = await db.conn.fetch(
        """
        SELECT id FROM events WHERE substr(traceparent, 4, 32) = $3 AND account_id = $1 AND mode = $2
        ORDER BY id DESC LIMIT $4
        """,
        tenant.account_id,
        tenant.mode,
        trace_id,
        limit,
    )
    return [row["id"] for row in rows]


async def events_of_notification(db: Session, tenant: Tenant, notification_id: UUID, *, limit: int) -> list[Event]:
    """Return the tenant's events that a notification raised, newest first."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM events WHERE notification_id = $3 AND id >= $4 AND account_id = $1 AND mode = $2
        ORDER BY id DESC LIMIT $5
        """,
        tenant.account_id,
        tenant.mode,
        notification_id,
        _since(notification_id),
        limit,
    )
    return [event_of(db, row) for row in rows]


async def events_with_ids(db: Session, tenant: Tenant, ids: Sequence[UUID], *, limit: int) -> list[Event]:
    """Return the tenant's events with these ids, newest first."""
    rows = await db.conn.fetch(
        "SELECT * FROM events WHERE id = ANY($3) AND account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT $4",
        tenant.account_id,
        tenant.mode,
        ids,
        limit,
    )
    return [event_of(db, row) for row in rows]


async def events_of_esims(db: Session, tenant: Tenant, esim_ids: Sequence[UUID], *, limit: int) -> list[Event]:
    """Return the newest events of the tenant's eSIMs, newest first."""
    rows = await db.conn.fetch(
        """
        SELECT found.* FROM unnest($3::uuid[]) AS esim (id) CROSS JOIN LATERAL (
            SELECT * FROM events WHERE esim_id = esim.id AND account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT $4
        ) found
        ORDER BY found.id DESC LIMIT $4
        """,
        tenant.account_id,
        tenant.mode,
        esim_ids,
        limit,
    )
    return [event_of(db, row) for row in rows]


async def esims_of(db: Session, tenant: Tenant, ids: Sequence[UUID], *, limit: int) -> list[Esim]:
    """Return the tenant's eSIMs with these ids, newest first."""
    rows = await db.conn.fetch(
        "SELECT * FROM esims WHERE id = ANY($3) AND account_id = $1 AND mode = $2 ORDER BY id DESC LIMIT $4",
        tenant.account_id,
        tenant.mode,
        ids,
        limit,
    )
    return [esim_of(db, row) for row in rows]


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
        min(delivery_ids),
        limit,
    )
    return [(row["delivery_id"], attempt_of(db, row)) for row in rows]


async def notifications_about(
    db: Session, *, ids: Sequence[UUID], esim_ids: Sequence[UUID], limit: int
) -> list[JournalEntry]:
    """Return the journal entries with these ids and the newest about these eSIMs, newest first; for operators."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM notifications WHERE id = ANY (ARRAY(
            SELECT found.id FROM unnest($2::uuid[]) AS esim (id) CROSS JOIN LATERAL (
                SELECT id FROM notifications WHERE esim_id = esim.id ORDER BY id DESC LIMIT $3
            ) found
            UNION ALL SELECT * FROM unnest($1::uuid[])
        ))
        ORDER BY id DESC LIMIT $3
        """,
        ids,
        esim_ids,
        limit,
    )
    return [entry_of(db, row) for row in rows]


def _tenant(row: asyncpg.Record) -> Tenant:
    return Tenant(row["account_id"], Mode(row["mode"]))


def _since(notification_id: UUID) -> UUID:
    """Return the oldest id that an event of the notification may have, so that days before are not read."""
    earliest: UUID = first_id_of(made_at(notification_id) - CLOCKS)
    return earliest
