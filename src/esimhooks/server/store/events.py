"""Events: the sealed bytes of every webhook, and where they came from."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import asyncpg

from esimhooks.server.model.endpoint import Tenant
from esimhooks.server.model.errors import Broken
from esimhooks.server.model.event import Event, EventFilter, event_type_of
from esimhooks.server.store.batches import Columns
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode

COLUMNS = Columns(
    "events",
    {
        "id": "uuid",
        "account_id": "uuid",
        "mode": "text",
        "esim_id": "uuid",
        "type": "text",
        "happened_at": "timestamptz",
        "notification_id": "uuid",
        "sealed_body": "bytea",
        "traceparent": "text",
    },
)


async def insert(db: Session, events: Sequence[Event]) -> None:
    """Store new events."""
    await COLUMNS.insert(
        db,
        [
            (
                event.id,
                event.tenant.account_id,
                event.tenant.mode,
                event.esim_id,
                event.type,
                event.happened_at,
                event.notification_id,
                db.sealer.seal(event.body, row=_row(event.id)),
                event.traceparent,
            )
            for event in events
        ],
    )


async def find(db: Session, tenant: Tenant, event_id: UUID) -> Event | None:
    """Return the tenant's event, or None."""
    row = await db.conn.fetchrow(
        "SELECT * FROM events WHERE id = $3 AND account_id = $1 AND mode = $2",
        tenant.account_id,
        tenant.mode,
        event_id,
    )
    return None if row is None else _event(db, row)


async def page(db: Session, tenant: Tenant, where: EventFilter, *, before: UUID | None, limit: int) -> Sequence[Event]:
    """Return the tenant's events, newest first, older than the id `before`."""
    return await _select(db, tenant, where, edge=before, limit=limit, order="DESC", beyond="<")


async def page_after(db: Session, tenant: Tenant, where: EventFilter, *, after: UUID, limit: int) -> Sequence[Event]:
    """Return the tenant's events, oldest first, newer than the id `after`: the pull API."""
    return await _select(db, tenant, where, edge=after, limit=limit, order="ASC", beyond=">")


async def _select(  # noqa: PLR0913
    db: Session, tenant: Tenant, where: EventFilter, *, edge: UUID | None, limit: int, order: str, beyond: str
) -> Sequence[Event]:
    rows = await db.conn.fetch(
        f"""
        SELECT * FROM events
        WHERE account_id = $1 AND mode = $2 AND ($3::uuid IS NULL OR id {beyond} $3)
          AND ($4::text IS NULL OR type = $4) AND ($5::uuid IS NULL OR esim_id = $5)
          AND ($6::uuid IS NULL OR id >= $6) AND ($7::uuid IS NULL OR id < $7)
        ORDER BY id {order} LIMIT $8
        """,
        tenant.account_id,
        tenant.mode,
        edge,
        where.type,
        where.esim_id,
        where.first_id,
        where.last_id,
        limit,
    )
    return [_event(db, row) for row in rows]


async def bodies(db: Session, event_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """Return the bytes of the events; for the dispatcher, which serves all tenants. Those that cannot be read are missing."""
    rows = await db.conn.fetch("SELECT id, sealed_body FROM events WHERE id = ANY($1)", event_ids)
    readable = {}
    for row in rows:
        with suppress(Broken):  # one spoilt row must not keep the others from being sent
            readable[row["id"]] = db.sealer.open(row["sealed_body"], row=_row(row["id"]))
    return readable


def _row(event_id: UUID) -> str:
    return f"events.body.{event_id}"


def _event(db: Session, row: asyncpg.Record) -> Event:
    return Event(
        id=row["id"],
        tenant=Tenant(row["account_id"], Mode(row["mode"])),
        esim_id=row["esim_id"],
        type=event_type_of(row["type"]),
        happened_at=row["happened_at"],
        notification_id=row["notification_id"],
        body=db.sealer.open(row["sealed_body"], row=_row(row["id"])),
        traceparent=row["traceparent"],
    )
