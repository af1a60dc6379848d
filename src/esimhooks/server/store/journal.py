"""The journal of what came in, and what of it has been seen, waits or matches nothing yet."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from esimhooks.server.domain.change import UpdateOutcome, UpdateResult
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.notification import InboundRequest, JournalEntry
from esimhooks.server.store.database import Session, touched
from esimhooks.server.store.encryption import readable
from esimhooks.vocabulary.statuses import Mode

UPDATES_SOURCE = "updates"
"""Source of what came over `POST /v1/updates`; providers cannot have this name."""

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


async def forget_seen(db: Session, *, before: datetime, limit: int) -> int:
    """Forget what was seen before the moment; return how many rows went."""
    status = await db.conn.execute(
        """
        DELETE FROM seen_notifications WHERE ctid IN
            (SELECT ctid FROM seen_notifications WHERE seen_at < $1 LIMIT $2)
        """,
        before,
        limit,
    )
    return touched(status)


async def find(db: Session, notification_id: UUID) -> JournalEntry | None:
    """Return the entry, or None."""
    row = await db.conn.fetchrow("SELECT * FROM notifications WHERE id = $1", notification_id)
    return None if row is None else entry_of(db, row)


async def of_esim(db: Session, esim_id: UUID, *, limit: int) -> Sequence[JournalEntry | Unreadable]:
    """Return the newest entries about an eSIM."""
    rows = await db.conn.fetch(
        "SELECT * FROM notifications WHERE esim_id = $1 OR esim_ids @> ARRAY[$1] ORDER BY id DESC LIMIT $2",
        esim_id,
        limit,
    )
    return listed(db, rows)


async def put_off(db: Session, notification_id: UUID, *, seconds: float, detail: str) -> None:
    """Try a waiting notification again in so many seconds, and show why."""
    await db.conn.execute(
        "UPDATE backlog SET due_at = now() + make_interval(secs => $2) WHERE notification_id = $1",
        notification_id,
        seconds,
    )
    await db.conn.execute("UPDATE notifications SET detail = $2 WHERE id = $1", notification_id, detail)


async def add_to_backlog(db: Session, entries: Sequence[tuple[UUID, str]]) -> None:
    """Have notifications (id, source) worked off as soon as possible; one that waits already is brought forward."""
    if entries:
        await db.conn.execute(
            """
            INSERT INTO backlog (notification_id, source, due_at)
            SELECT *, now() FROM unnest($1::uuid[], $2::text[])
            ON CONFLICT (notification_id) DO UPDATE SET due_at = now(), tries = 0
            """,
            [notification_id for notification_id, _ in entries],
            [source for _, source in entries],
        )


async def reopen(db: Session, notification_id: UUID, source: str) -> None:
    """Show a settled notification as waiting and put it on the backlog; needs a transaction."""
    await db.conn.execute("DELETE FROM unmatched_notifications WHERE notification_id = $1", notification_id)
    await db.conn.execute("UPDATE notifications SET outcome = 'waiting', detail = NULL WHERE id = $1", notification_id)
    await add_to_backlog(db, [(notification_id, source)])


class Waiting(Struct, frozen=True):
    """A notification taken off the backlog for a try; `tries` counts this one."""

    notification_id: UUID
    tries: int


async def claim_backlog(db: Session, *, limit: int, retry_in_s: float) -> Sequence[Waiting]:
    """Take waiting notifications that are due, in the order in which they came.

    Each comes up again after `retry_in_s` if nobody settles it.
    """
    rows = await db.conn.fetch(
        """
        UPDATE backlog SET tries = tries + 1, due_at = now() + make_interval(secs => $2)
        WHERE notification_id IN (
            SELECT notification_id FROM backlog WHERE due_at <= now() ORDER BY due_at, notification_id LIMIT $1
            FOR UPDATE SKIP LOCKED)
        RETURNING notification_id, tries
        """,
        limit,
        retry_in_s,
    )
    claimed = [Waiting(row["notification_id"], row["tries"]) for row in rows]
    return sorted(claimed, key=lambda one: one.notification_id)


async def wake_unmatched(db: Session, known: Sequence[Esim]) -> None:
    """Have notifications looked at again that may speak of these eSIMs; needs a transaction."""
    await db.conn.execute(
        """
        WITH woken AS (
            DELETE FROM unmatched_notifications u
            USING unnest($1::text[], $2::text[], $3::text[]) AS k (provider, order_no, transaction_id)
            WHERE u.source IN (k.provider, $4) AND (u.order_no = k.order_no OR u.transaction_id = k.transaction_id)
            RETURNING u.notification_id, u.source
        )
        INSERT INTO backlog (notification_id, source, due_at)
        SELECT DISTINCT notification_id, source, now() FROM woken
        ON CONFLICT DO NOTHING
        """,
        [esim.provider for esim in known],
        [esim.order_no for esim in known],
        [esim.transaction_id for esim in known],
        UPDATES_SOURCE,
    )


async def wake_missed(db: Session, *, since: UUID) -> int:
    """Move unmatched notifications from the id `since` on whose eSIM is known by now to the backlog; return how many.

    One that came in while its eSIM was being committed found no eSIM, and the eSIM no notification.
    """
    status = await db.conn.execute(
        """
        WITH woken AS (
            DELETE FROM unmatched_notifications u
            WHERE u.notification_id >= $1 AND EXISTS (
                SELECT FROM esims e
                WHERE (e.esim_tran_no = u.esim_tran_no OR e.order_no = u.order_no OR e.transaction_id = u.transaction_id)
                  AND (e.provider = u.source OR u.source = $2))
            RETURNING notification_id, source
        )
        INSERT INTO backlog (notification_id, source, due_at)
        SELECT DISTINCT notification_id, source, now() FROM woken
        ON CONFLICT DO NOTHING
        """,
        since,
        UPDATES_SOURCE,
    )
    return touched(status)


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
    return JournalEntry(
        id=row["id"],
        source=row["source"],
        tenant=None if row["account_id"] is None else Tenant(row["account_id"], Mode(row["mode"])),
        received_at=row["received_at"],
        request=InboundRequest(**row["request"], body=body),
        kind=row["kind"],
        outcome=UpdateOutcome(row["outcome"]),
        detail=row["detail"],
        esim_id=row["esim_id"],
        results=msgspec.convert(row["results"] or (), tuple[UpdateResult, ...]),
    )


def _unreadable(row: asyncpg.Record) -> Unreadable:
    return Unreadable(name=text_of(Prefix.NOTIFICATION, row["id"]), id=row["id"])
