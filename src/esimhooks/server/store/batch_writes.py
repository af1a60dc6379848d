"""What a batch of updates writes: one statement, whatever the size of the batch. Nothing is decided here."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.errors import Conflicting
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.notification import JournalEntry
from esimhooks.server.domain.update import Doubt, Identity
from esimhooks.server.store import esims, events, journal
from esimhooks.server.store.batch_reads import Seen
from esimhooks.server.store.database import Session
from esimhooks.server.store.fifo import FIRST_DELAY
from esimhooks.server.store.statements import Arrays, columns_of


class LeasedLane(Struct, frozen=True):
    """A lane that this process has leased, and the version of its endpoint that it knows."""

    token: int
    version: int


class Unmatched(Struct, frozen=True):
    """A notification that is looked at again once an eSIM is known by this identity."""

    notification_id: UUID
    source: str
    identity: Identity
    received_at: datetime


class JournalUpdate(Struct, frozen=True):
    """A notification that was journaled before, with what has become of it now."""

    entry: JournalEntry
    waits: bool = False
    """Whether it stays on the backlog."""
    is_due: bool = False
    """Whether it is looked at again at once, where it waits."""


class Writes(Struct, kw_only=True):
    """All that a batch writes. Events are numbered in their order; `deliveries` are those that are made at once."""

    seen: list[tuple[Seen, UUID]] = []
    entries: list[JournalEntry] = []
    journal_updates: list[JournalUpdate] = []
    created: list[Esim] = []
    changed: list[Esim] = []
    events: list[Event] = []
    fan_outs: list[Event] = []
    deliveries: list[Delivery] = []
    leased: dict[UUID, LeasedLane] = {}
    """Of endpoints whose lanes this process has leased: their deliveries are claimed as they are made."""
    backlog: list[JournalEntry] = []
    unmatched: list[Unmatched] = []
    better_known: list[tuple[str, Identity]] = []
    doubts: list[tuple[str, UUID | None, Doubt]] = []


class Written(Struct, frozen=True):
    """How many unmatched notifications were put on the backlog, as their eSIM is known now; and what was claimed."""

    woken: int
    claimed: Mapping[UUID, int]
    """The position of each delivery that was claimed."""


_ENTRIES = {**journal.COLUMNS, "results": "jsonb", "esim_ids": "text"}
_DELIVERIES = {
    "id": "uuid",
    "account_id": "uuid",
    "mode": "text",
    "event_id": "uuid",
    "event_type": "text",
    "esim_id": "uuid",
    "endpoint_id": "uuid",
    "queued": "boolean",
    "lease_token": "bigint",
    "endpoint_version": "bigint",
}


def _of_journal_updates(arrays: Arrays) -> str:
    ids, waiting, due, concluded = (arrays(["uuid"]) for _ in range(4))
    return f"""
    updated_entries AS (
        UPDATE notifications n
        SET outcome = u.outcome, detail = u.detail, esim_id = coalesce(u.esim_id, n.esim_id), results = u.results,
            esim_ids = u.esim_ids::uuid[]
        FROM unnest({arrays(["uuid", "text", "text", "uuid", "jsonb", "text"])})
            AS u (id, outcome, detail, esim_id, results, esim_ids)
        WHERE n.id = u.id AND n.id = ANY ({ids})
    ), still_waits AS (
        UPDATE backlog SET stored_first = false, due_at = now()
        WHERE notification_id = ANY ({waiting}) AND stored_first OR notification_id = ANY ({due})
    ), off_the_backlog AS (
        DELETE FROM backlog WHERE notification_id = ANY ({concluded})
    ), no_longer_unmatched AS (
        DELETE FROM unmatched_notifications WHERE notification_id = ANY ({ids})
    )"""


_PARTS: Mapping[str, Callable[[Arrays], str]] = {
    "seen": lambda arrays: (
        f"""
    seen AS (
        INSERT INTO seen_notifications (source, digest, content, notification_id, seen_at)
        SELECT u.*, now() FROM unnest({arrays(["text", "bytea", "bytea", "uuid"])}) AS u
        ON CONFLICT DO NOTHING RETURNING 1
    )"""
    ),
    "entries": lambda arrays: (
        f"""
    entries AS (
        INSERT INTO notifications ({", ".join(_ENTRIES)})
        SELECT {", ".join(name if name != "esim_ids" else "esim_ids::uuid[]" for name in _ENTRIES)}
        FROM unnest({arrays(list(_ENTRIES.values()))}) AS u ({", ".join(_ENTRIES)})
    )"""
    ),
    "journal_updates": _of_journal_updates,
    "created": lambda arrays: (
        f"""
    created AS (
        INSERT INTO esims ({", ".join(esims.COLUMNS)}) SELECT * FROM unnest({arrays(esims.COLUMNS.values())})
    )"""
    ),
    "changed": lambda arrays: (
        f"""
    changed AS (
        UPDATE esims e SET {", ".join(f"{name} = u.{name}" for name in esims.COLUMNS if name != "id")}
        FROM unnest({arrays(esims.COLUMNS.values())}) AS u ({", ".join(esims.COLUMNS)}) WHERE e.id = u.id
    )"""
    ),
    "events": lambda arrays: events.storing(arrays(events.HEADS), arrays(events.ROWS.values())),
    "fan_outs": lambda arrays: (
        f"""
    fan_outs AS (
        INSERT INTO fan_outs (event_id, account_id, mode, event_type, esim_id, position)
        SELECT id, account_id, mode, type, esim_id, position FROM new_events WHERE id = ANY ({arrays(["uuid"])})
    )"""
    ),
    "deliveries": lambda arrays: (
        f"""
    new_deliveries AS (
        SELECT * FROM unnest({arrays(list(_DELIVERIES.values()))}) AS u ({", ".join(_DELIVERIES)})
    ), deliveries AS (
        INSERT INTO deliveries (id, account_id, mode, event_id, event_type, esim_id, endpoint_id, status)
        SELECT id, account_id, mode, event_id, event_type, esim_id, endpoint_id, 'pending' FROM new_deliveries
    ), queued AS (
        INSERT INTO queue (delivery_id, account_id, endpoint_id, event_id, event_type, esim_id, ordered, due_at,
                           claim_token, claims)
        SELECT id, account_id, endpoint_id, event_id, event_type, esim_id, false,
               greatest(now(), now() + {FIRST_DELAY}), coalesce(claimed.lease_token, 0),
               CASE WHEN claimed.lease_token IS NULL THEN 0 ELSE 1 END
        FROM new_deliveries q LEFT JOIN LATERAL (
            SELECT l.lease_token FROM lanes l JOIN endpoints e ON e.id = l.endpoint_id
            WHERE l.endpoint_id = q.endpoint_id AND l.lease_token = q.lease_token AND l.open AND l.leased_until > now()
              AND e.version = q.endpoint_version
        ) claimed ON true
        WHERE q.queued
        RETURNING delivery_id, position, claim_token
    )"""
    ),
    "unmatched": lambda arrays: (
        f"""
    unmatched AS (
        INSERT INTO unmatched_notifications
            (notification_id, source, received_at, esim_tran_no, order_no, transaction_id)
        SELECT * FROM unnest({arrays(["uuid", "text", "timestamptz", "text", "text", "text"])})
    )"""
    ),
    "backlog": lambda arrays: (
        f"""
    woken AS (
        DELETE FROM unmatched_notifications u
        USING unnest({arrays(["text", "text", "text", "text"])}) AS k (source, esim_tran_no, order_no, transaction_id)
        WHERE u.source = k.source
          AND (u.esim_tran_no = k.esim_tran_no OR u.order_no = k.order_no OR u.transaction_id = k.transaction_id)
        RETURNING u.notification_id, u.source, u.received_at
    ), backlog AS (
        INSERT INTO backlog (notification_id, source, received_at, esim_id, due_at)
        SELECT DISTINCT ON (notification_id) u.*, now() FROM (
            SELECT * FROM unnest({arrays(["uuid", "text", "timestamptz", "uuid"])})
            UNION ALL SELECT notification_id, source, received_at, NULL FROM woken
        ) u (notification_id, source, received_at, esim_id)
        ON CONFLICT (notification_id) DO UPDATE SET due_at = now(), tries = 0
    )"""
    ),
    "doubts": lambda arrays: (
        f"""
    doubts AS (
        INSERT INTO provider_doubts (provider, notification_id, field, word, detail)
        SELECT * FROM unnest({arrays(["text", "uuid", "text", "text", "text"])})
        ON CONFLICT DO NOTHING
    )"""
    ),
}
"""What the statement is put together of, each with the parameters that it takes. Parts that have nothing to write are left out:
each costs a plan and locks, of a partitioned table those of every day."""


async def write(db: Session, writes: Writes) -> Written:
    """Write all of a batch in one statement; after it only what is ordered is queued.

    Raises `Conflicting` where another transaction has taken in the same notification meanwhile: the batch must be started over.
    """
    parts = _parameters(db, writes)
    if not parts:
        return Written(woken=0, claimed={})
    row = await db.conn.fetchrow(
        _statement(tuple(parts)), *(column for columns in parts.values() for column in columns)
    )
    if row["seen"] != len(writes.seen):
        raise Conflicting("the same notification is being taken in elsewhere", retry_after_s=1.0)
    return Written(woken=row["woken"], claimed=dict(zip(row["claimed"], row["positions"], strict=True)))


@cache
def _statement(parts: tuple[str, ...]) -> str:
    arrays = Arrays()
    expressions = ",".join(_PARTS[name](arrays) for name in parts)

    def claimed(column: str, kind: str) -> str:
        if "deliveries" not in parts:
            return f"'{{}}'::{kind}[]"
        return f"ARRAY(SELECT {column} FROM queued WHERE claim_token > 0 ORDER BY delivery_id)"

    return f"""
    WITH {expressions}
    SELECT {"(SELECT count(*) FROM seen)" if "seen" in parts else "0"} AS seen,
           {"(SELECT count(*) FROM woken)" if "backlog" in parts else "0"} AS woken,
           {claimed("delivery_id", "uuid")} AS claimed, {claimed("position", "bigint")} AS positions
    """


def _parameters(db: Session, writes: Writes) -> dict[str, list[Sequence[object]]]:
    """Return the columns of each part of the statement that has something to write, in the order of the parts."""
    parts: dict[str, list[Sequence[object]]] = {
        "seen": columns_of([(one.source, one.digest, one.content, entry_id) for one, entry_id in writes.seen], 0),
        "entries": columns_of([journal.row_of(db, one) + _results(one) for one in writes.entries], 0),
        "journal_updates": _journal_updates(writes.journal_updates),
        "created": columns_of([esims.row_of(db, esim) for esim in writes.created], 0),
        "changed": columns_of([esims.row_of(db, esim) for esim in writes.changed], 0),
        "events": events.parameters(db, writes.events) if writes.events else [],
        "fan_outs": [[event.id for event in writes.fan_outs]] if writes.fan_outs else [],
        "deliveries": columns_of([_delivery_row(one, writes.leased) for one in writes.deliveries], 0),
        "unmatched": columns_of(
            [(one.notification_id, one.source, one.received_at, *_names(one.identity)) for one in writes.unmatched], 0
        ),
        "backlog": [
            *columns_of([(source, *_names(identity)) for source, identity in writes.better_known], 4),
            *columns_of([(one.id, one.source, one.received_at, one.esim_id) for one in writes.backlog], 4),
        ]
        if writes.better_known or writes.backlog
        else [],
        "doubts": columns_of(
            [(source, entry_id, one.field, one.word or "", one.detail) for source, entry_id, one in writes.doubts], 0
        ),
    }
    return {name: columns for name, columns in parts.items() if columns}


def _journal_updates(updates: Sequence[JournalUpdate]) -> list[Sequence[object]]:
    if not updates:
        return []
    rows = [
        (one.entry.id, one.entry.outcome, one.entry.detail, one.entry.esim_id, *_results(one.entry)) for one in updates
    ]
    return [
        [one.entry.id for one in updates],
        [one.entry.id for one in updates if one.waits],
        [one.entry.id for one in updates if one.waits and one.is_due],
        [one.entry.id for one in updates if not one.waits],
        *columns_of(rows, 6),
    ]


def _delivery_row(one: Delivery, leased: Mapping[UUID, LeasedLane]) -> tuple[object, ...]:
    lane = leased.get(one.endpoint_id)
    return (
        one.id,
        *one.tenant,
        one.event_id,
        one.event_type,
        one.esim_id,
        one.endpoint_id,
        not one.ordered,
        lane and lane.token,
        lane and lane.version,
    )


def _names(identity: Identity) -> tuple[str | None, str | None, str | None]:
    return identity.esim_tran_no, identity.order_no, identity.transaction_id


def _results(entry: JournalEntry) -> tuple[object, str | None]:
    """The outcome of each update and all eSIMs, where the entry's own columns do not say them."""
    if len(entry.results) < 2:
        return (None, None)
    ids = dict.fromkeys(str(one.esim_id) for one in entry.results if one.esim_id is not None)
    return (entry.results, f"{{{','.join(ids)}}}" if ids else None)
