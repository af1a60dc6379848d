"""Locks of the database, for tests in which one transaction waits for another."""

from api import eventually
from esimhooks.server.store.database import Database


async def until_somebody_waits(database: Database) -> None:
    """Return once a transaction waits for a lock that another one has."""

    async def waits() -> bool:
        async with database.session() as db:
            return bool(await db.conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await eventually(waits)
