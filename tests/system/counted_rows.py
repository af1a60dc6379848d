"""What a node does to rows, counted by the database itself: a trigger notifies the test of each row that is written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from esimhooks.server.store.database import Database

CHANNEL = "counted_rows"


class CountedRows:
    """How many rows were written so far."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Event()

    def add(self, *_: object) -> None:
        """Count one more."""
        self.count += 1
        self._changed.set()

    async def reach(self, count: int) -> None:
        """Wait until so many have been written."""
        while self.count < count:
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def counted_rows(dsn: str, database: Database, *, written: str, when: str = "true") -> AsyncIterator[CountedRows]:
    """Count the rows that are `written`, as in `UPDATE OF claim_token ON queue`, where `when` holds for NEW."""
    counted = CountedRows()
    table = written.rpartition(" ")[2]
    conn = await asyncpg.connect(dsn)
    try:
        await conn.add_listener(CHANNEL, counted.add)
        async with database.transaction() as db:
            await db.conn.execute(
                f"""
                CREATE FUNCTION notify_row() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN PERFORM pg_notify(''{CHANNEL}'', gen_random_uuid()::text); RETURN NULL; END';
                CREATE TRIGGER notify_row AFTER {written} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION notify_row()
                """
            )
        yield counted
    finally:
        async with database.transaction() as db:
            await db.conn.execute(f"DROP TRIGGER IF EXISTS notify_row ON {table}; DROP FUNCTION IF EXISTS notify_row()")
        await conn.close()
