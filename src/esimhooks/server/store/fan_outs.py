"""Events whose deliveries are still to be made, in the order in which each tenant's were committed."""

import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.event import AnyEventType, Event, event_type_of
from esimhooks.server.store.database import Session
from esimhooks.server.store.statements import struct_of, tenant_of

TENANT_LOCK = 0x66616E6F


class FanOut(Struct, frozen=True, kw_only=True):
    """One event; endpoints up to the id `reached` have had their turn.

    `created_at` is when it was stored, aware UTC by the database's clock; None for one that is fanned out at once.
    """

    event_id: UUID
    event_type: AnyEventType
    esim_id: UUID | None
    reached: UUID | None = None
    created_at: datetime | None = None

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the fan-out of an event that has not begun."""
        return cls(event_id=event.id, event_type=event.type, esim_id=event.esim_id)


async def tenants(db: Session, *, after: Tenant | None, limit: int) -> Sequence[Tenant]:
    """Return tenants that have events to fan out, in their order, the next after `after`.

    One step each through the index, however many events there are.
    """
    rows = await db.conn.fetch(
        """
        WITH RECURSIVE t AS (
            (SELECT account_id, mode FROM fan_outs WHERE $2::uuid IS NULL OR (account_id, mode) > ($2, $3)
             ORDER BY account_id, mode LIMIT 1)
            UNION ALL
            SELECT n.account_id, n.mode FROM t CROSS JOIN LATERAL (
                SELECT account_id, mode FROM fan_outs f WHERE (f.account_id, f.mode) > (t.account_id, t.mode)
                ORDER BY account_id, mode LIMIT 1
            ) n
        )
        SELECT account_id, mode FROM t LIMIT $1
        """,
        limit,
        after and after.account_id,
        after and after.mode,
    )
    return [tenant_of(row) for row in rows]


async def claim(db: Session, tenant: Tenant, *, limit: int) -> Sequence[FanOut]:
    """Return the tenant's events in their order, none where another transaction is at it; needs a transaction."""
    lock_id = zlib.crc32(f"{tenant.account_id} {tenant.mode}".encode()) - (1 << 31)
    if not await db.conn.fetchval("SELECT pg_try_advisory_xact_lock($1, $2)", TENANT_LOCK, lock_id):
        return []
    rows = await db.conn.fetch(
        "SELECT * FROM fan_outs WHERE account_id = $1 AND mode = $2 ORDER BY position LIMIT $3", *tenant, limit
    )
    return [struct_of(FanOut, row, event_type=event_type_of(row["event_type"])) for row in rows]


async def unfinished(db: Session, event_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the events that do not have all of their deliveries yet; what is read afterwards has those of all others."""
    rows = await db.conn.fetch("SELECT event_id FROM fan_outs WHERE event_id = ANY($1)", event_ids)
    return {row["event_id"] for row in rows}


async def advance(db: Session, event_id: UUID, *, reached: UUID | None) -> None:
    """Write down how far an event's fan-out is."""
    await db.conn.execute("UPDATE fan_outs SET reached = $2 WHERE event_id = $1", event_id, reached)


async def finish(db: Session, event_id: UUID) -> None:
    """An event has all of its deliveries."""
    await db.conn.execute("DELETE FROM fan_outs WHERE event_id = $1", event_id)
