"""The journal of what came in, and what of it has been seen, waits or matches nothing yet."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from esimhooks.server.domain.change import UpdateResult
from esimhooks.server.domain.errors import Undecryptable
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.notification import InboundRequest, JournalEntry
from esimhooks.server.store.database import Session, row_count
from esimhooks.server.store.encryption import readable
from esimhooks.server.store.statements import struct_of, tenant_of

UPDATES_SOURCE = "updates"
"""Source of what came over `POST /v1/updates`; providers cannot have this name."""

BACKLOG_LOCK = 0x6261636B
STORED_LOCK = 0x73746F72

COLUMNS = {
    "id": "uuid",
    "source": "text",
    "account_id": "uuid",
    "mode": "text",
    "received_at": "timestamptz",
    "kind": "text",
    "outcome": "text",
    "detail": "text",
    "esim_id": "uuid",
    "request": "jsonb",
    "sealed_body": "bytea",
}
"""What is written of a notification, in the order of `row_of`."""


def row_of(db: Session, entry: JournalEntry) -> tuple[object, ...]:
    """Return the values of `COLUMNS`."""
    return (
        entry.id,
        entry.source,
        entry.tenant and entry.tenant.account_id,
        entry.tenant and entry.tenant.mode,
        entry.received_at,
        entry.kind,
        entry.outcome,
        entry.detail,
        entry.esim_id,
        _request(entry.request),
        db.cipher.encrypt(entry.request.body, row=_row(entry.id)),
    )


async def delete_seen(db: Session, *, before: datetime, limit: int) -> int:
    """Delete what was seen before that time (aware UTC); return how many rows went."""
    status = await db.conn.execute(
        """
        DELETE FROM seen_notifications WHERE ctid IN
            (SELECT ctid FROM seen_notifications WHERE seen_at < $1 LIMIT $2)
        """,
        before,
        limit,
    )
    return row_count(status)


async def find(db: Session, notification_id: UUID) -> JournalEntry | None:
    """Return the entry, or None."""
    row = await db.conn.fetchrow("SELECT * FROM notifications WHERE id = $1", notification_id)
    return None if row is None else entry_of(db, row)


async def find_all(db: Session, ids: Sequence[UUID]) -> dict[UUID, JournalEntry | Undecryptable]:
    """Return these entries, and in place of one that cannot be decrypted why."""
    if not ids:
        return {}
    rows = await db.conn.fetch(
        "SELECT * FROM notifications WHERE id = ANY ($1) AND id BETWEEN $2 AND $3", ids, min(ids), max(ids)
    )
    found: dict[UUID, JournalEntry | Undecryptable] = {}
    for row in rows:
        try:
            found[row["id"]] = entry_of(db, row)
        except Undecryptable as error:
            found[row["id"]] = error
    return found


class Waiting(Struct, frozen=True):
    """A notification on the backlog; `tries` counts the one that is due.

    `stored_first`: it was answered before anybody looked whether it repeats another.
    """

    notification_id: UUID
    received_at: datetime
    tries: int
    stored_first: bool = False


async def due_backlog(db: Session, *, limit: int, but_not: Sequence[str] = ()) -> Sequence[Waiting]:
    """Return waiting notifications that are due, but for those of some sources, in the order in which they came.

    With them come those that wait for the same eSIM, up to `limit` of these, as one must not overtake another.
    """
    rows = await db.conn.fetch(
        """
        WITH due AS MATERIALIZED (
            SELECT notification_id, received_at, tries, stored_first, esim_id FROM backlog
            WHERE due_at <= now() AND source <> ALL ($2) ORDER BY due_at, received_at, notification_id LIMIT $1
        )
        SELECT notification_id, received_at, tries, stored_first FROM due
        UNION
        SELECT * FROM (
            SELECT notification_id, received_at, tries, stored_first FROM backlog
            WHERE esim_id IN (SELECT esim_id FROM due) ORDER BY received_at, notification_id LIMIT $1
        ) of_the_same_esims
        """,
        limit,
        but_not,
    )
    waiting = [
        Waiting(row["notification_id"], row["received_at"], row["tries"] + 1, row["stored_first"]) for row in rows
    ]
    return sorted(waiting, key=lambda one: (one.received_at, one.notification_id))


async def lock_backlog(db: Session, *, stored_first: bool = False) -> bool:
    """Keep others from working off the backlog until this transaction ends; false where another does already.

    What was `stored_first` is processed by itself.
    """
    lock = STORED_LOCK if stored_first else BACKLOG_LOCK
    return bool(await db.conn.fetchval("SELECT pg_try_advisory_xact_lock($1)", lock))


async def still_waiting(db: Session, waiting: Iterable[Waiting]) -> frozenset[UUID]:
    """Return the ids of those that were not concluded, postponed or claimed since they were read."""
    rows = await db.conn.fetch(
        """
        SELECT notification_id FROM backlog JOIN unnest($1::uuid[], $2::integer[]) AS u (notification_id, tries)
        USING (notification_id, tries)
        """,
        *zip(*((one.notification_id, one.tries - 1) for one in waiting), strict=True),
    )
    return frozenset(row["notification_id"] for row in rows)


async def postpone(
    db: Session,
    waiting: Waiting,
    *,
    seconds: float,
    detail: str | None = None,
    esim_id: UUID | None = None,
) -> None:
    """Try a waiting notification again later, and show why; `esim_id` is the eSIM that it waits for."""
    await db.conn.execute(
        """
        UPDATE backlog SET tries = $2, due_at = now() + make_interval(secs => $3), esim_id = $4
        WHERE notification_id = $1
        """,
        waiting.notification_id,
        waiting.tries,
        seconds,
        esim_id,
    )
    if detail is not None:
        await db.conn.execute("UPDATE notifications SET detail = $2 WHERE id = $1", waiting.notification_id, detail)


async def reopen(db: Session, entry: JournalEntry) -> None:
    """Show a notification as waiting and have it processed as soon as possible; needs a transaction.

    One that is stored and not yet applied keeps its turn among those of its eSIM.
    """
    await db.conn.execute("DELETE FROM unmatched_notifications WHERE notification_id = $1", entry.id)
    await db.conn.execute("UPDATE notifications SET outcome = 'waiting', detail = NULL WHERE id = $1", entry.id)
    await db.conn.execute(
        """
        INSERT INTO backlog (notification_id, source, received_at, due_at) VALUES ($1, $2, $3, now())
        ON CONFLICT (notification_id) DO UPDATE SET due_at = now(), tries = 0 WHERE backlog.due_at < 'infinity'
        """,
        entry.id,
        entry.source,
        entry.received_at,
    )


async def wake_unmatched(db: Session, known: Sequence[Esim]) -> None:
    """Have notifications looked at again that may speak of these eSIMs; needs a transaction."""
    await db.conn.execute(
        """
        WITH woken AS (
            DELETE FROM unmatched_notifications u
            USING unnest($1::text[], $2::text[], $3::text[]) AS k (provider, order_no, transaction_id)
            WHERE u.source IN (k.provider, $4) AND (u.order_no = k.order_no OR u.transaction_id = k.transaction_id)
            RETURNING u.notification_id, u.source, u.received_at
        )
        INSERT INTO backlog (notification_id, source, received_at, due_at)
        SELECT DISTINCT *, now() FROM woken
        ON CONFLICT DO NOTHING
        """,
        [esim.provider for esim in known],
        [esim.order_no for esim in known],
        [esim.transaction_id for esim in known],
        UPDATES_SOURCE,
    )


async def wake_missed(db: Session, *, since: UUID, limit: int) -> UUID | None:
    """Move unmatched notifications from the id `since` on whose eSIM is known by now to the backlog; needs a transaction.

    About `limit` are looked at; returns the id from which to go on, None at the end. One that came in while its eSIM was being
    committed found no eSIM, and the eSIM no notification.
    """
    last: UUID | None = await db.conn.fetchval(
        """
        SELECT notification_id FROM unmatched_notifications WHERE notification_id >= $1
        ORDER BY notification_id OFFSET $2 LIMIT 1
        """,
        since,
        limit,
    )
    await db.conn.execute(
        """
        WITH woken AS (
            DELETE FROM unmatched_notifications u
            WHERE u.notification_id >= $1 AND ($3::uuid IS NULL OR u.notification_id <= $3) AND EXISTS (
                SELECT FROM esims e
                WHERE (e.esim_tran_no = u.esim_tran_no OR e.order_no = u.order_no OR e.transaction_id = u.transaction_id)
                  AND (e.provider = u.source OR u.source = $2))
            RETURNING notification_id, source, received_at
        )
        INSERT INTO backlog (notification_id, source, received_at, due_at)
        SELECT DISTINCT *, now() FROM woken
        ON CONFLICT DO NOTHING
        """,
        since,
        UPDATES_SOURCE,
        last,
    )
    return None if last is None else UUID(int=last.int + 1)


def _request(request: InboundRequest) -> dict[str, object]:
    """All but the body, which is encrypted beside it."""
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
        "peer": request.peer,
        "proven": request.proven,
    }


def _row(notification_id: UUID) -> str:
    return f"notifications.body.{notification_id}"


def listed(db: Session, rows: Sequence[asyncpg.Record]) -> list[JournalEntry | Unreadable]:
    """Return the entries of rows that have all columns; for lists, which must show the others where one is unreadable."""
    return readable(rows, lambda row: entry_of(db, row), _unreadable)


def entry_of(db: Session, row: asyncpg.Record) -> JournalEntry:
    """Return the entry of a row that has all of its columns."""
    body = db.cipher.decrypt(row["sealed_body"], row=_row(row["id"]))
    return struct_of(
        JournalEntry,
        row,
        tenant=None if row["account_id"] is None else tenant_of(row),
        request=InboundRequest(**row["request"], body=body),
        results=msgspec.convert(row["results"] or (), tuple[UpdateResult, ...]),
    )


def _unreadable(row: asyncpg.Record) -> Unreadable:
    return Unreadable(name=text_of(Prefix.NOTIFICATION, row["id"]), id=row["id"])
