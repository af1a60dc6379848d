"""Daily partitions of the tables that grow, by the time inside their UUIDv7 ids.

Partitions are made days ahead. A default partition takes what no day has room for (a clock far off), so that nothing
is refused; making a day's partition moves such rows into it.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from esimhooks.server.model.ids import first_id_of
from esimhooks.server.store.database import Session

TABLES = ("notifications", "events", "deliveries", "attempts")
DAYS_BEHIND = 1
DAYS_AHEAD = 3
LOCK = 0x706172746974696F


async def ensure_partitions(db: Session, *, now: datetime) -> None:
    """Make the partitions around `now` (aware UTC) that are missing; needs a transaction.

    Several nodes may call it at once: an advisory lock makes them take turns.
    """
    await db.conn.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    present = {row["relname"] for row in await db.conn.fetch("SELECT relname FROM pg_class WHERE relispartition")}
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for offset in range(-DAYS_BEHIND, DAYS_AHEAD + 1):
        day = today + timedelta(days=offset)
        for table in TABLES:
            if partition_name(table, day) not in present:
                await _make(db, table, day)


def partition_name(table: str, day: datetime) -> str:
    """Return the name of a day's partition, e.g. `events_20261123`."""
    return f"{table}_{day:%Y%m%d}"


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
