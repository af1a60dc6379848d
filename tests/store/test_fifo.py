"""Who stands behind another of its eSIM is due once that one has left, whoever comes and goes at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest

from esimhooks.server.domain.delivery import Delivery, Verdict
from esimhooks.server.store import deliveries, endpoints, fifo, queue
from esimhooks.server.store.database import Database, Session
from store.locks import until_somebody_waits
from system.stored_lanes import AGAIN, DELIVERED, FAILED, Lane, a_delivery, a_lane, claim, lease, queued, write

pytestmark = [pytest.mark.slow(reason="waits until PostgreSQL says that a statement waits"), pytest.mark.timeout(30)]

ESIM = UUID(int=1)


async def a_line(database: Database, *, length: int) -> tuple[Lane, Sequence[Delivery]]:
    """Store an endpoint that keeps the order, with so many deliveries of one eSIM."""
    lane = await a_lane(database, due=0)
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoints SET ordering = 'esim' WHERE id = $1", lane.endpoint_id)
    waiting = [a_delivery(lane, esim_id=ESIM, ordered=True) for _ in range(length)]
    async with database.transaction() as db:
        await join(db, waiting)
    return lane, waiting


async def join(db: Session, waiting: Sequence[Delivery]) -> None:
    await deliveries.insert(db, waiting)
    await queue.enqueue(db, waiting)


async def are_due(database: Database, waiting: Sequence[Delivery]) -> list[bool]:
    found = [await queued(database, one.id) for one in waiting]
    return [one is not None and one.due_in_s <= 0 for one in found]


async def meanwhile(database: Database, command: Callable[[Session], Awaitable[object]]) -> "asyncio.Task[None]":
    """Begin a command in a transaction of its own; return it once it waits for a lock."""

    async def carry_out() -> None:
        async with database.transaction() as db:
            await command(db)

    running = asyncio.create_task(carry_out())
    await until_somebody_waits(database)
    return running


def cancelling(delivery: Delivery) -> Callable[[Session], Awaitable[object]]:
    return lambda db: queue.cancel(db, delivery.id, now=datetime.now(UTC))


def reordering(lane: Lane, *, ordered: bool) -> Callable[[Session], Awaitable[object]]:
    return lambda db: fifo.reorder(db, lane.endpoint_id, ordered=ordered)


async def test_only_the_first_of_a_line_has_a_time(database: Database) -> None:
    lane, waiting = await a_line(database, length=3)
    async with database.transaction() as db:
        late = a_delivery(lane, esim_id=ESIM, ordered=True)
        await join(db, [late])
        shown = [await deliveries.find(db, lane.tenant, one.id) for one in (*waiting, late)]

    assert await are_due(database, [*waiting, late]) == [True, False, False, False]
    assert [one is not None and one.next_attempt_at is not None for one in shown] == [True, False, False, False]


async def test_nobody_is_due_before_the_first_delay_of_the_schedule(database: Database) -> None:
    lane, (first, second) = await a_line(database, length=2)
    async with database.transaction() as db:
        await db.conn.execute("UPDATE endpoints SET retry_schedule = '{60, 60}' WHERE id = $1", lane.endpoint_id)
        await cancelling(first)(db)
        await queue.send_again(db, first)
        await cancelling(second)(db)
        await queue.send_again(db, second)
        await cancelling(first)(db)

    waiting = await queued(database, second.id)

    assert waiting is not None
    assert 50 < waiting.due_in_s <= 60


@pytest.mark.parametrize("verdict", [DELIVERED, FAILED])
async def test_each_is_due_when_the_one_before_it_has_ended(database: Database, verdict: Verdict) -> None:
    _, waiting = await a_line(database, length=3)
    [leased] = await lease(database)

    for ended, following in pairwise(waiting):
        assert await write(database, await claim(database, leased), verdict) == {ended.id}
        assert await are_due(database, [following]) == [True]


async def test_the_next_is_due_when_the_one_before_it_is_cancelled_or_has_waited_for_too_long(
    database: Database,
) -> None:
    _, (first, second, third) = await a_line(database, length=3)

    async with database.transaction() as db:
        await cancelling(first)(db)
    assert await are_due(database, [second, third]) == [True, False]

    async with database.transaction() as db:
        await db.conn.execute(
            "UPDATE queue SET started_at = now() - interval '90 days', due_at = 'infinity' WHERE delivery_id = $1",
            second.id,
        )
        assert len(await queue.fail_overdue(db, now=datetime.now(UTC), limit=10)) == 1
    assert await are_due(database, [third]) == [True]


async def test_who_comes_while_the_last_one_leaves_is_due_without_waiting_for_that(database: Database) -> None:
    lane, [last] = await a_line(database, length=1)
    late = a_delivery(lane, esim_id=ESIM, ordered=True)

    async with database.transaction() as db:
        await cancelling(last)(db)
        async with database.transaction() as other:
            await join(other, [late])

    assert await are_due(database, [late]) == [True]


async def test_who_leaves_while_another_comes_moves_it_up(database: Database) -> None:
    lane, [last] = await a_line(database, length=1)
    late = a_delivery(lane, esim_id=ESIM, ordered=True)

    async with database.transaction() as db:
        await join(db, [late])
        leaving = await meanwhile(database, cancelling(last))
    await leaving

    assert await are_due(database, [late]) == [True]


async def test_when_two_leave_at_the_same_time_the_third_is_due(database: Database) -> None:
    _, (first, second, third) = await a_line(database, length=3)

    async with database.transaction() as db:
        await cancelling(second)(db)
        leaving = await meanwhile(database, cancelling(first))
    await leaving

    assert await are_due(database, [third]) == [True]


async def test_one_leaves_while_the_next_is_leaving_and_a_third_came_beside_that(database: Database) -> None:
    lane, [first] = await a_line(database, length=1)
    second, third = [a_delivery(lane, esim_id=ESIM, ordered=True) for _ in range(2)]

    async with AsyncExitStack() as coming, database.transaction() as leaving:
        async with database.transaction() as db:
            await join(db, [second])
            await join(await coming.enter_async_context(database.transaction()), [third])
        await cancelling(second)(leaving)
        await coming.aclose()
        first_leaves = await meanwhile(database, cancelling(first))
    await first_leaves

    assert await are_due(database, [third]) == [True]


async def test_who_comes_while_the_order_is_given_up_is_due(database: Database) -> None:
    lane, waiting = await a_line(database, length=2)
    late = a_delivery(lane, esim_id=ESIM, ordered=True)

    async with database.transaction() as db:
        await reordering(lane, ordered=False)(db)
        async with database.transaction() as other:
            await join(other, [late])

    assert await are_due(database, [*waiting, late]) == [True, True, True]


async def test_who_stood_behind_another_when_the_order_was_given_up_unseen_is_due_in_the_end(
    database: Database,
) -> None:
    lane, waiting = await a_line(database, length=2)
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoints SET ordering = 'none' WHERE id = $1", lane.endpoint_id)

    async with database.transaction() as db:
        await fifo.end_stale(db)

    assert await are_due(database, waiting) == [True, True]


async def test_when_the_order_is_given_up_while_another_comes_all_are_due(database: Database) -> None:
    lane, waiting = await a_line(database, length=2)
    late = a_delivery(lane, esim_id=ESIM, ordered=True)

    async with database.transaction() as db:
        await join(db, [late])
        reorder = await meanwhile(database, reordering(lane, ordered=False))
    await reorder

    assert await are_due(database, [*waiting, late]) == [True, True, True]


async def test_when_the_order_is_wanted_while_the_first_leaves_the_second_is_due(database: Database) -> None:
    lane, (first, second, third) = await a_line(database, length=3)
    async with database.transaction() as db:
        await reordering(lane, ordered=False)(db)

    async with database.transaction() as db:
        await cancelling(first)(db)
        reorder = await meanwhile(database, reordering(lane, ordered=True))
    await reorder

    assert await are_due(database, [second, third]) == [True, False]


async def test_the_first_leaves_while_the_order_is_wanted_and_the_second_is_due(database: Database) -> None:
    lane, (first, second, third) = await a_line(database, length=3)
    async with database.transaction() as db:
        await reordering(lane, ordered=False)(db)

    async with database.transaction() as db:
        await reordering(lane, ordered=True)(db)
        leaving = await meanwhile(database, cancelling(first))
    await leaving

    assert await are_due(database, [second, third]) == [True, False]


async def test_a_retry_keeps_its_time_when_the_order_is_wanted_and_given_up(database: Database) -> None:
    lane, (first, second) = await a_line(database, length=2)
    async with database.transaction() as db:
        await reordering(lane, ordered=False)(db)
    [leased] = await lease(database)
    await write(database, [one for one in await claim(database, leased) if one.delivery_id == second.id], AGAIN)

    async with database.transaction() as db:
        await reordering(lane, ordered=True)(db)
        await cancelling(first)(db)
    retry = await queued(database, second.id)
    async with database.transaction() as db:
        await reordering(lane, ordered=False)(db)

    assert retry is not None
    assert retry.due_in_s > 30
    assert await are_due(database, [second]) == [False]


async def test_an_attempt_from_before_the_order_was_wanted_moves_up_the_next(database: Database) -> None:
    lane, waiting = await a_line(database, length=2)
    async with database.transaction() as db:
        await reordering(lane, ordered=False)(db)
    [leased] = await lease(database)
    [out] = await claim(database, leased, capacity=1)
    async with database.transaction() as db:
        endpoint = await endpoints.find_to_change(db, lane.tenant, lane.endpoint_id)
        assert endpoint
        await endpoints.reorder(db, endpoint)
    assert await are_due(database, waiting) == [True, False]

    await write(database, [out], DELIVERED)

    assert await are_due(database, waiting[1:]) == [True]
