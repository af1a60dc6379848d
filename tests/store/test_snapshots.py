"""What a snapshot does to the statements in it."""

import pytest

from conftest import ENCRYPTION_KEY
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher

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


@pytest.mark.parametrize("pooled", [False, True])
async def test_what_others_commit_during_a_snapshot_is_seen_after_it(
    migrated: str, database: Database, *, pooled: bool
) -> None:
    reading = await connect(migrated, Cipher([ENCRYPTION_KEY]), connections=1, pooled=pooled)
    count = "SELECT count(*) FROM installation WHERE name = 'canary of a snapshot'"
    seen = []
    async with reading.session() as db:
        async with db.snapshot():
            seen.append(await db.conn.fetchval(count))
            async with database.session() as other:
                await other.conn.execute("INSERT INTO installation (name, value) VALUES ('canary of a snapshot', 'x')")
            async with db.snapshot():
                seen.append(await db.conn.fetchval(count))
            seen.append(await db.conn.fetchval(count))
        seen.append(await db.conn.fetchval(count))
    await reading.close()
    assert seen == [0, 0, 0, 1]
