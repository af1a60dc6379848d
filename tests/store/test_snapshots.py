"""What a snapshot does to the statements in it."""

from esimhooks.server.domain.ids import new_id
from esimhooks.server.store.database import Database

ONE_ENDPOINT = "SELECT count(*) FROM deliveries WHERE endpoint_id = $1"
OFTEN = 12
"""Times after which PostgreSQL would have made one plan for any value."""


async def test_a_statement_of_a_snapshot_is_planned_for_its_values_however_often_it_was_run(database: Database) -> None:
    async with database.session() as db:
        for _ in range(OFTEN):
            async with db.snapshot():
                await db.conn.fetchval(ONE_ENDPOINT, new_id())
        plans = "SELECT generic_plans FROM pg_prepared_statements WHERE statement = $1"
        assert await db.conn.fetchval(plans, ONE_ENDPOINT) == 0
