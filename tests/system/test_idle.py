"""A node that has nothing to do asks the database for little, and notices all the same when there is something."""

import math

import asyncpg
import pytest

from api import Api
from esimhooks.server.store.database import Database
from system.counted_rows import counted_rows

REPORTS = 3
MOST_A_SECOND = 20
"""About twice what it makes. One that looks as often as it may makes 40."""
WINDOWS = 3
"""PostgreSQL counts late what a session did before, seconds later where a pooler keeps it: one quiet window is enough."""

pytestmark = pytest.mark.timeout(60)


async def _transactions(dsn: str) -> tuple[int, float]:
    """Return how many transactions the database has ended, a statement by itself being one, and its time in seconds."""
    conn = await asyncpg.connect(dsn)
    try:
        made, at = await conn.fetchrow(
            """
            SELECT xact_commit + xact_rollback, extract(epoch FROM clock_timestamp())::float8
            FROM pg_stat_database WHERE datname = current_database()
            """
        )
        return made, at
    finally:
        await conn.close()


async def test_a_node_without_work_makes_few_statements(operator: Api, database: Database, migrated: str) -> None:
    rates: list[float] = []
    async with counted_rows(migrated, database, written="UPDATE ON dispatchers") as reports:
        await reports.reach(2)  # what it does once at its start is over
        while len(rates) < WINDOWS and min(rates, default=math.inf) > MOST_A_SECOND:
            before, began = await _transactions(migrated)
            await reports.reach(2 + REPORTS * (len(rates) + 1))
            after, ended = await _transactions(migrated)
            rates.append((after - before) / (ended - began))

    assert min(rates) <= MOST_A_SECOND
