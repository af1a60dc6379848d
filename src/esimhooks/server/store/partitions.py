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
from esimhooks.server.domain.ids import first_id_of, made_at
from esimhooks.server.store.database import Database, Session

TABLES = ("notifications", "events", "deliveries", "attempts")
DAYS_BEHIND = 1
DAYS_AHEAD = 7
LOCK_WAITS_MS = 500
"""What changes a table blocks everything behind it while it waits, so it gives up soon and is tried again."""
LOCK = 0x706172746974696F


async def ensure_partitions(database: Database, *, now: datetime, since: datetime | None = None) -> list[str]:
    """Make the partitions around `now` that are missing; return the names of those that could not be made.

    With `since` those of all days from then on, for a history that is brought in; times are aware UTC.
    Each in a transaction of its own, which gives up soon: everybody who comes later waits behind it while another's long
    transaction, a report or a dump, uses the table. Several nodes may call it at once: they take turns.
    """
    async with database.session() as db:
        present = set(await _partitions(db))
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    behind = DAYS_BEHIND if since is None else max(DAYS_BEHIND, (today - since).days + 1)
    days = [today + timedelta(days=offset) for offset in (*range(DAYS_AHEAD + 1), *range(-behind, 0))]
    missing = [(table, day) for day in days for table in TABLES if partition_name(table, day) not in present]
    return [partition_name(table, day) for table, day in missing if not await _make_alone(database, table, day)]


async def _make_alone(database: Database, table: str, day: datetime) -> bool:
    try:
        async with database.transaction() as db:
            with refused_lock():
                await _begin_ddl(db)
                if partition_name(table, day) not in await _partitions(db):
                    await _make(db, table, day)
    except InUse:
        return False
    return True


async def _begin_ddl(db: Session) -> None:
    """Wait shortly for locks, and let no other node do the same at once."""
    await db.conn.execute(f"SET LOCAL lock_timeout = '{LOCK_WAITS_MS}ms'")
    await db.conn.execute("SELECT pg_advisory_xact_lock($1)", LOCK)


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


async def drop_before(database: Database, before: datetime) -> tuple[list[str], list[str]]:
    """Drop the partitions of days that ended before `before` (aware UTC) and that nothing pending needs.

    Returns the names of those that are gone, and of those that were in use. Each is dropped in a transaction of its own, which
    does not wait for readers: one that drops several would lock tables in another order than intake, and a long history more
    than the server has locks for.
    """
    async with database.session() as db:
        names = await _partitions(db)
    days = {name: name.rpartition("_")[2] for name in names}
    gone, in_use = [], []
    for name in sorted(names, key=lambda one: (days[one], one)):
        if not days[name].isdigit() or (ended := _day_of(days[name]) + timedelta(days=1)) > before:
            continue
        try:
            if not await _drop_alone(database, name, ended):
                break  # what is needed keeps its day and all later ones
        except InUse:
            in_use.append(name)
        else:
            gone.append(name)
    return gone, in_use


async def _drop_alone(database: Database, name: str, ended: datetime) -> bool:
    """Drop a partition; false where something pending needs its day or an earlier one. Raises `InUse`."""
    async with database.transaction() as db:
        with refused_lock():
            await _begin_ddl(db)
            needed = await oldest_needed(db)
            if needed is not None and made_at(needed) < ended:
                return False
            await db.conn.execute(f"DROP TABLE IF EXISTS {name}")
    return True


async def delete_unmatched(db: Session, before: datetime) -> None:
    """Delete unmatched notifications that came before `before` (aware UTC): their journal rows go with their day."""
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


class InUse(NotNow):
    """Another transaction uses a table for longer than we wait."""


@contextmanager
def refused_lock() -> Iterator[None]:
    """Turn a lock timeout into `InUse`."""
    try:
        yield
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
        raise InUse(f"a partition is in use by a long transaction ({error.args[0]})") from error


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
