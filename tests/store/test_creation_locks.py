"""Locks that keep eSIMs from being created twice: as many transactions as a large batch names, in any order."""

import asyncio

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import esims
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import Mode


async def test_a_batch_of_any_size_finds_room_among_the_locks_of_the_server(database: Database) -> None:
    tenant = Tenant(new_id(), Mode.TEST)

    async with database.transaction() as db:
        await esims.lock_transactions(db, [(tenant, f"t-{place}") for place in range(50_000)])

        held = await db.conn.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    assert 0 < held <= esims.CREATION_LOCKS


async def test_batches_that_name_the_same_transactions_in_other_orders_take_turns(database: Database) -> None:
    tenant = Tenant(new_id(), Mode.TEST)
    ids = [(tenant, f"t-{place}") for place in range(200)]

    async def lock(named: list[tuple[Tenant, str]]) -> None:
        async with database.transaction() as db:
            await esims.lock_transactions(db, named)

    await asyncio.gather(*[lock(ids if place % 2 else ids[::-1]) for place in range(8)])
