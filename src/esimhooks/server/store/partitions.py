"""Daily partitions of the tables that grow, by the time inside their UUIDv7 ids.

Partitions are made days ahead. A default partition takes rows of other days (a clock that is far off), so that nothing is
refused; making the partition of a day moves its rows there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.store.database import Session

TABLES = ("notifications", "events", "deliveries", "attempts")
DAYS_BEHIND = 1
DAYS_AHEAD = 3
DROP_WAITS_S = 2
"""A DROP that waits blocks everything behind it, so it gives up soon."""
LOCK = 0x706172746974696F


async def ensure_partitions(db: Session, *, now: datetime) -> None:
    """Make the partitions around `now` (aware UTC) that are missing; needs a transaction.

    Several nodes may call it at once: an advisory lock makes them take turns.
    """
    await db.conn.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    present = set(await _partitions(db))
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for offset in range(-DAYS_BEHIND, DAYS_AHEAD + 1):
        day = today + timedelta(days=offset)
        for table in TABLES:
            if partition_name(table, day) not in present:
                await _make(db, table, day)


async def oldest_needed(db: Session) -> UUID | None:
    """Return the oldest id that pending work refers to, None where nothing is pending.

    A pending delivery needs its event and its attempts, all younger than the event; the backlog needs its notifications. Both
    tables hold pending rows only.
    """
    needed: UUID | None = await db.conn.fetchval(
        """
        SELECT least((SELECT event_id FROM queue ORDER BY event_id LIMIT 1),
                     (SELECT notification_id FROM backlog ORDER BY notification_id LIMIT 1))
        """
    )
    return needed


async def drop_before(db: Session, before: datetime) -> list[str]:
    """Drop the partitions of days that ended before `before` (aware UTC); return their names. Needs a transaction.

    Does not wait for readers: where a partition is in use, `NotNow` is raised and the next round tries again.
    """
    await db.conn.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    await db.conn.execute(f"SET LOCAL lock_timeout = '{DROP_WAITS_S}s'")
    dropped = []
    for name in await _partitions(db):
        day = name.rpartition("_")[2]
        if day.isdigit() and _day_of(day) + timedelta(days=1) <= before:
            with refused_lock():
                await db.conn.execute(f"DROP TABLE {name}")
            dropped.append(name)
    return dropped


async def forget_unmatched(db: Session, before: datetime) -> None:
    """Forget unmatched notifications that came before `before` (aware UTC): their journal rows go with their day."""
    await db.conn.execute("DELETE FROM unmatched_notifications WHERE notification_id < $1", first_id_of(before))


async def _partitions(db: Session) -> list[str]:
    """Return the partitions of our own tables; another schema of the database may hold others of the same names."""
    rows = await db.conn.fetch(
        """
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = ANY ($1::text[]::regclass[]) ORDER BY relname
        """,
        TABLES,
    )
    return [row["relname"] for row in rows]


def partition_name(table: str, day: datetime) -> str:
    """Return the name of a day's partition, e.g. `events_20261123`."""
    return f"{table}_{day:%Y%m%d}"


def _day_of(digits: str) -> datetime:
    return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC)


@contextmanager
def refused_lock() -> Iterator[None]:
    """Turn a lock timeout into `NotNow`."""
    try:
        yield
    except asyncpg.LockNotAvailableError as error:
        raise NotNow("a partition that is to be dropped is still being read") from error


async def _make(db: Session, table: str, day: datetime) -> None:
    name = partition_name(table, day)
    first: UUID = first_id_of(day)
    after: UUID = first_id_of(day + timedelta(days=1))
    await db.conn.execute(
        f"""
        CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
        WITH moved AS (DELETE FROM {table}_default WHERE id >= '{first}' AND id < '{after}' RETURNING *)
        INSERT INTO {name} SELECT * FROM moved;
        ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{after}');
        """
    )
