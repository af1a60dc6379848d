"""Claims: what is claimed under a lease, fenced by its token, and what becomes of it; on a real PostgreSQL."""

from datetime import UTC, datetime

import pytest
from msgspec import structs

from esimhooks.server.domain.delivery import DeliveryStatus, Verdict
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import endpoints, lanes, queue
from esimhooks.server.store.database import Database
from system.stored_lanes import (
    AGAIN,
    DELIVERED,
    FAILED,
    GONE,
    NOT_COUNTED,
    a_lane,
    claim,
    expire,
    lease,
    queued,
    stored,
    write,
)

AGAIN_AT_ONCE = Verdict(status=DeliveryStatus.PENDING, delay_s=0.0)

pytestmark = [
    pytest.mark.slow(reason="runs hundreds of statements, on a machine that may be busy"),
    pytest.mark.timeout(60),
]


async def test_what_is_sent_again_keeps_the_order_of_its_endpoint(database: Database) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)
    await write(database, await claim(database, leased), FAILED)
    async with database.transaction() as db:
        await db.conn.execute("UPDATE endpoints SET ordering = 'esim' WHERE id = $1", lane.endpoint_id)
        await queue.send_again(db, structs.replace(lane.deliveries[0], esim_id=new_id(), attempts=1))

    [again] = await claim(database, leased)

    assert again.ordered
    assert again.claims == again.attempts == 1


@pytest.mark.parametrize("verdict", [DELIVERED, FAILED, AGAIN, NOT_COUNTED, GONE])
async def test_results_under_a_lease_that_went_to_another_change_nothing(database: Database, verdict: Verdict) -> None:
    lane = await a_lane(database, due=1)
    [old] = await lease(database)
    claimed = await claim(database, old)
    await expire(database, old)
    [new] = await lease(database)
    await claim(database, new)
    before = await queued(database, lane.deliveries[0].id)

    counted = await write(database, claimed, verdict)

    assert counted == set()
    assert await stored(database, lane, lane.deliveries[0].id) == (DeliveryStatus.PENDING, 0, 0)
    after = await queued(database, lane.deliveries[0].id)
    assert before is not None
    assert after is not None
    assert (after.claim_token, after.attempts, after.claims) == (new.token, before.attempts, before.claims)
    async with database.session() as db:
        endpoint = await endpoints.find(db, lane.tenant, lane.endpoint_id)
        assert await lanes.renew(db, [new], seconds=30) == {lane.endpoint_id}
    assert endpoint is not None
    assert endpoint.enabled


async def test_a_result_counts_although_its_lease_has_ended_where_nobody_else_took_the_lane(
    database: Database,
) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)
    claimed = await claim(database, leased)
    await expire(database, leased)

    counted = await write(database, claimed, DELIVERED)

    assert counted == {lane.deliveries[0].id}
    assert await stored(database, lane, lane.deliveries[0].id) == (DeliveryStatus.DELIVERED, 1, 1)


async def test_a_result_is_written_once_however_often_it_is_handed_in(database: Database) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)
    claimed = await claim(database, leased)

    counted = [await write(database, claimed, AGAIN) for _ in range(3)]

    assert counted == [{lane.deliveries[0].id}, set(), set()]
    assert await stored(database, lane, lane.deliveries[0].id) == (DeliveryStatus.PENDING, 1, 1)


async def test_a_result_is_written_once_although_its_delivery_is_out_again_under_the_same_lease(
    database: Database,
) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)
    first = await claim(database, leased)
    await write(database, first, AGAIN_AT_ONCE)
    second = await claim(database, leased)

    assert await write(database, first, DELIVERED) == set()
    assert await write(database, second, DELIVERED) == {lane.deliveries[0].id}
    assert await stored(database, lane, lane.deliveries[0].id) == (DeliveryStatus.DELIVERED, 2, 2)


async def test_an_attempt_from_before_a_cancel_says_nothing_of_the_delivery_that_was_sent_again(
    database: Database,
) -> None:
    lane = await a_lane(database, due=1)
    [delivery] = lane.deliveries
    [leased] = await lease(database)
    before = await claim(database, leased)
    async with database.transaction() as db:
        await queue.cancel(db, delivery.id, now=datetime.now(UTC))
        await queue.send_again(db, delivery)
    after = await claim(database, leased)
    async with database.session() as db:
        await queue.release_claims(db, before)
        begun = await queue.begin(db, before[0])

    assert not begun
    assert await write(database, before, AGAIN) == set()
    assert await write(database, after, DELIVERED) == {delivery.id}
    assert await stored(database, lane, delivery.id) == (DeliveryStatus.DELIVERED, 1, 1)


async def test_a_result_that_does_not_count_is_written_once_although_its_delivery_is_out_again(
    database: Database,
) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)
    first = await claim(database, leased)
    await write(database, first, structs.replace(NOT_COUNTED, delay_s=0.0))
    second = await claim(database, leased)

    assert await write(database, first, DELIVERED) == set()
    assert await write(database, second, DELIVERED) == {lane.deliveries[0].id}
    assert await stored(database, lane, lane.deliveries[0].id) == (DeliveryStatus.DELIVERED, 1, 2)


async def test_a_late_result_does_not_count_although_the_next_one_of_its_delivery_is_written_with_it(
    database: Database,
) -> None:
    lane = await a_lane(database, due=1)
    [old] = await lease(database)
    late = await claim(database, old)
    await expire(database, old)
    [new] = await lease(database)
    present = await claim(database, new)

    counted = await write(database, [*late, *present, *present], DELIVERED)

    assert counted == {lane.deliveries[0].id}
    assert await stored(database, lane, lane.deliveries[0].id) == (DeliveryStatus.DELIVERED, 1, 1)


async def test_a_holder_takes_up_each_delivery_once(database: Database) -> None:
    lane = await a_lane(database, due=10)
    [leased] = await lease(database)

    first, rest, nothing = [await claim(database, leased, room) for room in (4, 100, 100)]

    assert [one.delivery_id for one in (*first, *rest)] == [delivery.id for delivery in lane.deliveries]
    assert len(first) == 4
    assert nothing == []


async def test_claimed_and_unfinished_deliveries_are_claimed_by_the_next_holder(database: Database) -> None:
    lane = await a_lane(database, due=3)
    [dead] = await lease(database)
    abandoned = await claim(database, dead)
    await write(database, abandoned[:1], DELIVERED)
    await expire(database, dead)

    [heir] = await lease(database)
    claimed = await claim(database, heir)

    assert {one.delivery_id for one in claimed} == {delivery.id for delivery in lane.deliveries[1:]}
    assert {one.claims for one in claimed} == {1}
    assert {one.attempts for one in claimed} == {0}


async def test_nothing_is_claimed_under_a_lease_that_went_to_another(database: Database) -> None:
    await a_lane(database, due=1)
    [old] = await lease(database)
    await expire(database, old)
    await lease(database)

    assert await claim(database, old) == []


async def test_what_is_released_is_as_if_it_had_never_been_claimed(database: Database) -> None:
    lane = await a_lane(database, due=2)
    [leased] = await lease(database)
    before = await queued(database, lane.deliveries[0].id)
    claimed = await claim(database, leased)

    async with database.session() as db:
        await queue.release_claims(db, claimed)

    after = await queued(database, lane.deliveries[0].id)
    assert before is not None
    assert after is not None
    assert (after.claims, after.claim_token) == (before.claims, before.claim_token) == (0, 0)
    assert {one.delivery_id for one in await claim(database, leased)} == {one.id for one in lane.deliveries}


async def test_what_another_holder_has_claimed_is_not_released(database: Database) -> None:
    lane = await a_lane(database, due=1)
    [old] = await lease(database)
    claimed = await claim(database, old)
    await expire(database, old)
    [new] = await lease(database)
    await claim(database, new)

    async with database.session() as db:
        await queue.release_claims(db, claimed)

    after = await queued(database, lane.deliveries[0].id)
    assert after is not None
    assert (after.claims, after.claim_token) == (2, new.token)


@pytest.mark.parametrize("verdict", [DELIVERED, FAILED, GONE])
async def test_a_finished_delivery_leaves_the_queue(database: Database, verdict: Verdict) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)

    await write(database, await claim(database, leased), verdict)

    assert await queued(database, lane.deliveries[0].id) is None
    assert await stored(database, lane, lane.deliveries[0].id) == (verdict.status, 1, 1)


async def test_a_delivery_to_be_attempted_again_waits_in_the_queue_until_it_is_due(database: Database) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)

    await write(database, await claim(database, leased), AGAIN)

    waiting = await queued(database, lane.deliveries[0].id)
    assert waiting is not None
    assert (waiting.attempts, waiting.attempts_this_round, waiting.claim_token) == (1, 1, 0)
    assert 0 < waiting.due_in_s <= 60
    assert await claim(database, leased) == []


async def test_a_fault_of_ours_counts_neither_as_an_attempt_nor_as_a_claim(database: Database) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)

    await write(database, await claim(database, leased), NOT_COUNTED)

    waiting = await queued(database, lane.deliveries[0].id)
    assert waiting is not None
    assert (waiting.attempts, waiting.attempts_this_round, waiting.claims) == (0, 0, 0)
    assert await stored(database, lane, lane.deliveries[0].id) == (DeliveryStatus.PENDING, 0, 1)


async def test_deleting_an_endpoint_cancels_what_is_pending_and_keeps_what_is_finished(database: Database) -> None:
    lane = await a_lane(database, due=3)
    [leased] = await lease(database)
    claimed = await claim(database, leased, 2)
    await write(database, claimed[:1], DELIVERED)

    async with database.transaction() as db:
        await endpoints.delete(db, lane.tenant, lane.endpoint_id, now=datetime.now(UTC))
    counted = await write(database, claimed[1:], DELIVERED)

    assert counted == set()
    assert [(await stored(database, lane, one.id))[0] for one in lane.deliveries] == [
        DeliveryStatus.DELIVERED,
        DeliveryStatus.CANCELLED,
        DeliveryStatus.CANCELLED,
    ]
    assert [await queued(database, one.id) for one in lane.deliveries] == [None] * 3
    assert await lease(database) == []
