"""Deliveries are sent again while others delete their endpoint, send the same again, or make new ones of the eSIM."""

import asyncio
from datetime import UTC, datetime

import pytest

from esimhooks.server.domain.delivery import Delivery, DeliveryStatus
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import deliveries, endpoints, queue
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.events import EventType
from store.locks import until_somebody_waits
from system.stored_lanes import DELIVERED, FAILED, Lane, a_lane, claim, lease, queued, stored, write

pytestmark = [pytest.mark.slow(reason="waits until PostgreSQL says that a statement waits"), pytest.mark.timeout(30)]


async def test_a_delivery_whose_endpoint_is_just_being_deleted_is_not_sent_again(database: Database) -> None:
    lane = await a_lane(database, due=1)
    [failed] = lane.deliveries
    [leased] = await lease(database)
    await write(database, await claim(database, leased), FAILED)

    async with database.transaction() as db:
        await endpoints.delete(db, lane.tenant, lane.endpoint_id, now=datetime.now(UTC))
        sending = asyncio.ensure_future(_send_again(database, failed))
        await until_somebody_waits(database)

    assert await sending is False
    assert await stored(database, lane, failed.id) == (DeliveryStatus.FAILED, 1, 1)
    assert await queued(database, failed.id) is None


async def test_of_many_who_send_the_same_delivery_again_one_does(database: Database) -> None:
    lane = await a_lane(database, due=1)
    [failed] = lane.deliveries
    [leased] = await lease(database)
    await write(database, await claim(database, leased), FAILED)

    sent = await asyncio.gather(*(_send_again(database, failed) for _ in range(8)))

    assert sorted(sent) == [False] * 7 + [True]
    assert await stored(database, lane, failed.id) == (DeliveryStatus.PENDING, 1, 1)


async def test_one_that_is_sent_again_waits_for_a_newer_one_of_its_esim_that_was_committed_first(
    database: Database,
) -> None:
    lane = await a_lane(database, due=0)
    older, newer = await _of_one_esim(database, lane), await _of_one_esim(database, lane)
    await _enqueue(database, older)
    [leased] = await lease(database)
    await write(database, await claim(database, leased), FAILED)

    async with database.transaction() as db:
        await queue.send_again(db, older)
        await _enqueue(database, newer)
        out = await claim(database, leased)

    assert [one.delivery_id for one in out] == [newer.id]
    assert await claim(database, leased) == []
    await write(database, out, DELIVERED)
    assert [one.delivery_id for one in await claim(database, leased)] == [older.id]


async def _of_one_esim(database: Database, lane: Lane) -> Delivery:
    """Return a delivery of the lane's one eSIM, whose order is kept."""
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoints SET ordering = 'esim' WHERE id = $1", lane.endpoint_id)
    return Delivery(
        id=new_id(),
        tenant=lane.tenant,
        event_id=new_id(),
        event_type=EventType.CREATED,
        esim_id=lane.endpoint_id,
        endpoint_id=lane.endpoint_id,
        ordered=True,
    )


async def _enqueue(database: Database, delivery: Delivery) -> None:
    async with database.transaction() as db:
        await deliveries.insert(db, [delivery])
        await queue.enqueue(db, [delivery])


async def _send_again(database: Database, delivery: Delivery) -> bool:
    async with database.transaction() as db:
        return await queue.send_again(db, delivery)
