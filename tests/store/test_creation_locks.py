"""Locks that keep eSIMs from being created twice: as many transactions as a large batch names, in any order."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.ingest.batch import CREATION_LOCKS, Item, apply_batch
from esimhooks.server.store.batch_reads import Scope
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import EsimStatus, Mode


def items(account_id: UUID, names: Sequence[str]) -> list[Item]:
    """Updates that would create eSIMs, were there such an account."""
    return [
        Item(
            scope=Scope(tenant=Tenant(account_id, Mode.TEST)),
            updates=(Update(identity=Identity(transaction_id=name), esim_status=EsimStatus.CREATED),),
            creates=True,
        )
        for name in names
    ]


async def test_a_batch_of_any_size_finds_room_among_the_locks_of_the_server(database: Database) -> None:
    async with database.transaction() as db:
        await apply_batch(db, items(new_id(), [f"t-{index}" for index in range(5_000)]), EmitPolicy())

        granted = await db.conn.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    assert 0 < granted <= CREATION_LOCKS + 1  # and the one that freezing an account waits for


async def test_batches_that_name_the_same_transactions_in_other_orders_take_turns(database: Database) -> None:
    account_id = new_id()
    names = [f"t-{index}" for index in range(200)]

    async def take(named: list[str]) -> None:
        async with database.transaction() as db:
            await apply_batch(db, items(account_id, named), EmitPolicy())

    await asyncio.gather(*[take(names if index % 2 else names[::-1]) for index in range(8)])
