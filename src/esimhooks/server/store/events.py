"""Events: the encrypted bytes of every webhook, and where they came from."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from uuid import UUID

import asyncpg
from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Undecryptable
from esimhooks.server.domain.event import Event, EventFilter, event_type_of
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import ScanResult, Unreadable
from esimhooks.server.store.database import Session
from esimhooks.server.store.encryption import readable
from esimhooks.server.store.statements import Arrays, Parameters, bounded_scan, columns_of, struct_of, tenant_of

HEADS = ("uuid", "text", "bigint")
"""Types of the columns by which the heads of tenants are moved: account, mode, how many events."""

ROWS = {
    "id": "uuid",
    "account_id": "uuid",
    "mode": "text",
    "esim_id": "uuid",
    "type": "text",
    "happened_at": "timestamptz",
    "notification_id": "uuid",
    "sealed_body": "bytea",
    "traceparent": "text",
    "endpoint_id": "uuid",
    "behind": "bigint",
}
"""What is given of a new event; `behind` is how many of its tenant's come after it in the same statement."""


def storing(heads: str, rows: str) -> str:
    """Return the expressions of a WITH that store new events behind those of their tenants: `heads`, `new_events`, `events`.

    They take the arrays of `parameters`. The statement waits for other transactions that have stored events of the same
    tenants: docs/decisions/0011.
    """
    stored = [name for name in ROWS if name != "behind"]
    return f"""
    heads AS (
        INSERT INTO event_heads AS h (account_id, mode, position) SELECT * FROM unnest({heads})
        ON CONFLICT (account_id, mode) DO UPDATE SET position = h.position + excluded.position
        RETURNING account_id, mode, position
    ), new_events AS (
        SELECT u.*, h.position - u.behind AS position
        FROM unnest({rows}) AS u ({", ".join(ROWS)}) JOIN heads h USING (account_id, mode)
    ), events AS (
        INSERT INTO events ({", ".join(stored)}, position) SELECT {", ".join(stored)}, position FROM new_events
    )"""


def parameters(db: Session, events: Sequence[Event]) -> list[Sequence[object]]:
    """Return the arrays that `storing` takes. Heads are always locked in one order, so that there is no deadlock."""
    counts = Counter(event.tenant for event in events)
    heads = sorted(counts, key=lambda tenant: (tenant.account_id.int, tenant.mode))
    left, rows = dict(counts), []
    for event in events:
        left[event.tenant] -= 1
        rows.append(_row_of(db, event, behind=left[event.tenant]))
    return [
        *columns_of([(*tenant, counts[tenant]) for tenant in heads], len(HEADS)),
        *columns_of(rows, len(ROWS)),
    ]


def _row_of(db: Session, event: Event, *, behind: int) -> tuple[object, ...]:
    return (
        event.id,
        *event.tenant,
        event.esim_id,
        event.type,
        event.happened_at,
        event.notification_id,
        db.cipher.encrypt(event.body, row=_row(event.id)),
        event.traceparent,
        event.endpoint_id,
        behind,
    )


_arrays = Arrays()
_INSERT = f"WITH {storing(_arrays(HEADS), _arrays(ROWS.values()))} SELECT"


async def insert(db: Session, events: Sequence[Event]) -> None:
    """Store new events behind those of their tenants that were committed before; needs a transaction."""
    await db.conn.execute(_INSERT, *parameters(db, events))


async def find(db: Session, tenant: Tenant, event_id: UUID) -> Event | None:
    """Return the tenant's event, or None."""
    row = await db.conn.fetchrow(
        "SELECT * FROM events WHERE id = $3 AND account_id = $1 AND mode = $2", *tenant, event_id
    )
    return None if row is None else event_of(db, row)


async def page(
    db: Session, tenant: Tenant, where: EventFilter, *, before: UUID | None, limit: int, max_scanned: int | None = None
) -> ScanResult[Event | Unreadable]:
    """Return the tenant's events, newest first, older than the id `before`.

    `max_scanned` is how many of them are looked at for one that fits, None for all.
    """
    parameters = Parameters()
    indexed = [*_of_tenant(parameters, tenant, where, before), *parameters.equal(_indexed(where))]
    rows, reached = await bounded_scan(
        db,
        "events",
        parameters=parameters,
        indexed=indexed,
        wanted=_wanted(where),
        limit=limit,
        max_scanned=max_scanned,
    )
    return ScanResult(listed(db, rows), reached)


async def page_after(
    db: Session, tenant: Tenant, where: EventFilter, *, after: int, limit: int
) -> Sequence[Event | Unreadable]:
    """Return the tenant's events behind the position `after`, in the order of their commits: nothing is ever skipped."""
    parameters = Parameters()
    conditions = [*_of_tenant(parameters, tenant, where, None), f"position > {parameters(after)}"]
    conditions += parameters.equal(_indexed(where) | _wanted(where))
    rows = await db.conn.fetch(
        f"SELECT * FROM events WHERE {' AND '.join(conditions)} ORDER BY position LIMIT {parameters(limit)}",
        *parameters.values,
    )
    return listed(db, rows)


def _indexed(where: EventFilter) -> dict[str, object]:
    """The columns of a filter that lead to few rows by an index of their own."""
    return {"esim_id": where.esim_id}


def _wanted(where: EventFilter) -> dict[str, object]:
    """The other columns of a filter, for which rows are looked at one after the other."""
    return {"type": where.type}


async def position_of(db: Session, tenant: Tenant, event_id: UUID) -> int | None:
    """Return the position of the tenant's event, or None where it has no such event (any more)."""
    found: int | None = await db.conn.fetchval(
        "SELECT position FROM events WHERE id = $3 AND account_id = $1 AND mode = $2", *tenant, event_id
    )
    return found


async def newest(db: Session, tenant: Tenant) -> tuple[UUID, int] | None:
    """Return id and position of the event of the tenant that was committed last."""
    row = await db.conn.fetchrow(
        """
        SELECT id, position FROM events WHERE account_id = $1 AND mode = $2 AND position IS NOT NULL
        ORDER BY position DESC LIMIT 1
        """,
        *tenant,
    )
    return None if row is None else (row["id"], row["position"])


async def heads(db: Session, tenants: Collection[Tenant]) -> dict[Tenant, int]:
    """Return the last positions of the tenants; for the streams of a node, each of which reads its own tenant's events."""
    rows = await db.conn.fetch(
        """
        SELECT account_id, mode, position
        FROM event_heads JOIN unnest($1::uuid[], $2::text[]) AS t (account_id, mode) USING (account_id, mode)
        """,
        [tenant.account_id for tenant in tenants],
        [tenant.mode for tenant in tenants],
    )
    return {tenant_of(row): row["position"] for row in rows}


class Content(Struct, frozen=True):
    """The bytes of an event, and the span in which it was raised, where traces are on."""

    body: bytes
    traceparent: str | None


async def contents(db: Session, event_ids: Sequence[UUID]) -> dict[UUID, Content]:
    """Return the bytes of the events; for the dispatcher, which serves all tenants. Those that cannot be read are missing."""
    rows = await db.conn.fetch("SELECT id, sealed_body, traceparent FROM events WHERE id = ANY($1)", event_ids)
    return readable_contents(db, {row["id"]: row for row in rows})


def readable_contents(db: Session, rows: Mapping[UUID, asyncpg.Record]) -> dict[UUID, Content]:
    """Return the bytes of the events, by their ids, whose rows can be read."""
    readable = {}
    for event_id, row in rows.items():
        with suppress(Undecryptable):  # one spoilt row must not keep the others from being sent
            body = db.cipher.decrypt(row["sealed_body"], row=_row(event_id))
            readable[event_id] = Content(body, row["traceparent"])
    return readable


def _of_tenant(parameters: Parameters, tenant: Tenant, where: EventFilter, before: UUID | None) -> list[str]:
    own = [f"account_id = {parameters(tenant.account_id)}", f"mode = {parameters(tenant.mode)}"]
    return own + parameters.between(first=where.first_id, last=where.last_id, before=before)


def _row(event_id: UUID) -> str:
    return f"events.body.{event_id}"


def listed(db: Session, rows: Sequence[asyncpg.Record]) -> list[Event | Unreadable]:
    """Return the events of rows that have all columns; for lists, which must show the others where one is unreadable."""
    return readable(rows, lambda row: event_of(db, row), _unreadable)


def event_of(db: Session, row: asyncpg.Record) -> Event:
    """Return the event of a row that has all of its columns."""
    body = db.cipher.decrypt(row["sealed_body"], row=_row(row["id"]))
    return struct_of(Event, row, tenant=tenant_of(row), type=event_type_of(row["type"]), body=body)


def _unreadable(row: asyncpg.Record) -> Unreadable:
    return Unreadable(name=text_of(Prefix.EVENT, row["id"]), id=row["id"], position=row["position"] or 0)
