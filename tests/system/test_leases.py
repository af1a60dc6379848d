"""Leases: who holds which lane, on a real PostgreSQL, the clock moved in SQL. Claims: test_claims.py."""

import asyncio
from collections import Counter

import pytest

from esimhooks.server.domain.delivery import DeliveryStatus
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import lanes, queue
from esimhooks.server.store.database import Database
from system.stored_lanes import (
    AGAIN,
    DELIVERED,
    GONE,
    a_lane,
    claim,
    expire,
    lease,
    more_due,
    queued,
    stored,
    write,
)

pytestmark = [
    pytest.mark.slow(reason="runs hundreds of statements, on a machine that may be busy"),
    pytest.mark.timeout(60),
]


async def test_of_many_holders_that_ask_at_once_one_gets_each_lane(database: Database) -> None:
    wanted = {(await a_lane(database, due=1)).endpoint_id for _ in range(20)}

    granted = await asyncio.gather(*(lease(database) for _ in range(20)))

    assert Counter(one.endpoint_id for leases in granted for one in leases) == dict.fromkeys(wanted, 1)


async def test_a_lane_that_is_just_being_leased_is_passed_over_and_not_waited_for(database: Database) -> None:
    await a_lane(database, due=1)
    async with database.transaction() as db:
        [first] = await lanes.lease(db, holder=new_id(), seconds=30, share_of=1, limit=100)

        async with asyncio.timeout(10):
            meanwhile = await lease(database)

    assert meanwhile == []
    assert await claim(database, first.lease) != []


async def test_a_lane_is_not_leased_while_another_holds_it(database: Database) -> None:
    await a_lane(database, due=1)
    await lease(database)

    assert await lease(database) == []


async def test_a_lane_without_due_deliveries_is_not_leased(database: Database) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)
    await write(database, await claim(database, leased), AGAIN)
    async with database.session() as db:
        await lanes.release(db, [leased])

    assert await lease(database) == []
    assert await queued(database, lane.deliveries[0].id) is not None


async def test_lanes_that_have_waited_longest_are_leased_first(database: Database) -> None:
    made = [await a_lane(database, due=1) for _ in range(5)]

    granted = [leased.endpoint_id for _ in range(5) for leased in await lease(database, limit=1)]

    assert granted == [lane.endpoint_id for lane in made]


async def test_lanes_that_wait_for_work_do_not_keep_a_holder_from_those_that_have_some(database: Database) -> None:
    idle = [await a_lane(database, due=1) for _ in range(5)]
    holder = new_id()
    for leased in await lease(database, holder=holder):
        await write(database, await claim(database, leased), DELIVERED)
    fresh = await a_lane(database, due=1)

    granted = await lease(database, holder=holder)

    assert [one.endpoint_id for one in granted] == [fresh.endpoint_id]
    assert len(idle) == 5


async def test_two_holders_get_half_of_the_lanes_each(database: Database) -> None:
    for _ in range(10):
        await a_lane(database, due=1)
    holders = [new_id(), new_id()]

    granted = []
    for holder in holders * 2:
        async with database.session() as db:
            leased = await lanes.lease(db, holder=holder, seconds=30, share_of=2, limit=100)
        granted.append(len(leased))

    assert sum(granted) == 10
    assert granted[0] == 5


async def test_a_lease_that_has_ended_goes_to_the_next_holder_under_another_token(database: Database) -> None:
    await a_lane(database, due=1)
    [first] = await lease(database)
    await expire(database, first)

    [second] = await lease(database)

    assert second.endpoint_id == first.endpoint_id
    assert second.token > first.token


async def test_a_renewed_lease_holds_on(database: Database) -> None:
    await a_lane(database, due=1)
    [leased] = await lease(database)
    await expire(database, leased)

    async with database.session() as db:
        still = await lanes.renew(db, [leased], seconds=30)

    assert still == {leased.endpoint_id}
    assert await lease(database) == []


async def test_a_lease_that_went_to_another_is_neither_renewed_nor_released(database: Database) -> None:
    await a_lane(database, due=1)
    [old] = await lease(database)
    await expire(database, old)
    await lease(database)

    async with database.session() as db:
        still = await lanes.renew(db, [old], seconds=30)
        await lanes.release(db, [old])

    assert still == set()
    assert await lease(database) == []


async def test_a_released_lane_is_leased_again_at_once(database: Database) -> None:
    lane = await a_lane(database, due=1)
    leases = await lease(database)

    async with database.session() as db:
        await lanes.release(db, leases)

    assert [one.endpoint_id for one in await lease(database)] == [lane.endpoint_id]


async def test_the_lane_of_a_disabled_endpoint_is_neither_leased_nor_served(database: Database) -> None:
    lane = await a_lane(database, due=3)
    [leased] = await lease(database)
    await write(database, await claim(database, leased, 1), GONE)

    async with database.session() as db:
        assert await lanes.renew(db, [leased], seconds=30) == set()
        await lanes.release(db, [leased])
    assert await claim(database, leased) == []
    assert await lease(database) == []
    pending = [await stored(database, lane, one.id) for one in lane.deliveries[1:]]
    assert pending == [(DeliveryStatus.PENDING, 0, 0)] * 2


async def test_holders_that_take_lanes_from_each_other_all_the_time_finish_every_delivery_once(
    database: Database,
) -> None:
    made = [await a_lane(database, due=20) for _ in range(5)]

    async def holder() -> list[str]:
        counted: list[str] = []
        for _ in range(12):
            for leased in await lease(database, holder=new_id(), limit=3):
                claimed = await claim(database, leased, 7)
                await expire(database, leased)  # whoever comes now may take the lane
                counted += map(str, await write(database, claimed, DELIVERED))
        return counted

    counted = [one for found in await asyncio.gather(*(holder() for _ in range(6))) for one in found]

    finished = [
        str(one.id)
        for lane in made
        for one in lane.deliveries
        if await stored(database, lane, one.id) == (DeliveryStatus.DELIVERED, 1, 1)
    ]
    assert sorted(counted) == sorted(finished)
    assert len(finished) > 50


async def test_renewing_leasing_and_writing_at_once_never_wait_for_each_other_in_a_circle(database: Database) -> None:
    made = [await a_lane(database, due=0) for _ in range(30)]
    backwards = [lane.tenant for lane in reversed(made)]
    for tenant in backwards:
        await more_due(database, tenant, 20)
    leases = list(await lease(database))
    assert len(leases) == 30

    async def renewing() -> None:
        for _ in range(30):
            async with database.session() as db:
                await lanes.renew(db, leases[::-1], seconds=30)

    async def writing() -> None:
        for _ in range(20):
            async with database.session() as db:
                claimed = (await queue.claim(db, [queue.ClaimRequest(one, 1) for one in leases])).claimed
            await write(database, claimed, DELIVERED)

    async def releasing() -> None:
        for _ in range(30):
            async with database.session() as db:
                await lanes.release(db, leases)

    before = await _deadlocks(database)
    await asyncio.gather(renewing(), renewing(), writing(), releasing(), return_exceptions=False)

    assert await _deadlocks(database) == before


async def _deadlocks(database: Database) -> int:
    async with database.session() as db:
        await db.conn.execute("SELECT pg_stat_force_next_flush()")
        return int(await db.conn.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
