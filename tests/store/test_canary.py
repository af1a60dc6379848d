"""The canary: nodes that start at the same time on a new database all find it, and a wrong key is reported."""

import asyncio

import pytest

from esimhooks.server.domain.errors import Broken
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.server.store.installation import check_canary
from store.locks import until_somebody_waits


async def test_nodes_that_start_at_the_same_time_find_the_canary_of_the_first(database: Database) -> None:
    async def second() -> None:
        async with database.transaction() as db:
            await check_canary(db)

    async with asyncio.TaskGroup() as group, database.transaction() as db:
        await check_canary(db)
        group.create_task(second(), name="second node")
        await until_somebody_waits(database)


async def test_a_node_with_another_key_is_refused(database: Database, migrated: str) -> None:
    async with database.transaction() as db:
        await check_canary(db)
    stranger = await connect(migrated, Cipher([new_key()]), connections=1)

    with pytest.raises(Broken, match="ESIMHOOKS_ENCRYPTION_KEY does not hold the key"):
        async with stranger.transaction() as db:
            await check_canary(db)
    await stranger.close()
