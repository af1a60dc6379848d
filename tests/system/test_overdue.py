"""What waits for too long fails for good, 24 h beyond the end of its schedule; the times of the rows are moved in SQL."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from esimhooks.server.domain.schedule import MAX_JITTER, STANDARD
from esimhooks.server.store import deliveries, freezing, queue
from esimhooks.server.store.database import Database
from system.stored_lanes import Lane, a_lane, claim, lease, queued, stored

END = timedelta(seconds=sum(STANDARD) * (1 + MAX_JITTER)) + timedelta(hours=24)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


async def waited(database: Database, delivery_id: UUID, span: timedelta) -> None:
    async with database.session() as db:
        await db.conn.execute(
            "UPDATE queue SET started_at = now() - $2::interval, due_at = now() - $2::interval WHERE delivery_id = $1",
            delivery_id,
            span,
        )


async def fail_overdue(database: Database) -> int:
    async with database.transaction() as db:
        return len(await queue.fail_overdue(db, now=datetime.now(UTC), limit=100))


async def in_state(database: Database, lane: Lane, change: str) -> None:
    async with database.session() as db:
        await db.conn.execute(f"UPDATE lanes SET {change} WHERE endpoint_id = $1", lane.endpoint_id)


@pytest.mark.parametrize("change", ["open = true", "held_until = now() + interval '1 minute'", "open = false"])
async def test_what_waited_too_long_fails_whether_its_lane_works_rests_or_is_closed(
    database: Database, change: str
) -> None:
    lane = await a_lane(database, due=2)
    late, younger = lane.deliveries
    await in_state(database, lane, change)
    await waited(database, late.id, END + MINUTE)
    await waited(database, younger.id, END - MINUTE)

    assert await fail_overdue(database) == 1

    assert (await stored(database, lane, late.id))[0] == "failed"
    assert (await stored(database, lane, younger.id))[0] == "pending"
    assert await queued(database, late.id) is None
    async with database.session() as db:
        [attempt] = await deliveries.attempts_of(db, lane.tenant, late.id)
    assert attempt.outcome == "internal"
    assert "24 h" in (attempt.error or "")


@pytest.mark.parametrize(("due_in", "faults", "failed"), [(HOUR, 0, 0), (-HOUR, 0, 0), (HOUR, 1, 1)])
async def test_what_was_put_off_by_retry_after_keeps_its_attempts_and_a_fault_of_ours_buys_no_time(
    database: Database, due_in: timedelta, faults: int, failed: int
) -> None:
    lane = await a_lane(database, due=1)
    await waited(database, lane.deliveries[0].id, END + MINUTE)
    async with database.session() as db:
        await db.conn.execute("UPDATE queue SET due_at = now() + $1::interval, faults = $2", due_in, faults)

    assert await fail_overdue(database) == failed


async def test_what_a_dispatcher_has_in_hand_is_left_alone(database: Database) -> None:
    lane = await a_lane(database, due=1)
    [leased] = await lease(database)
    await claim(database, leased)
    await waited(database, lane.deliveries[0].id, END + MINUTE)

    assert await fail_overdue(database) == 0


async def test_what_waits_for_an_account_that_moves_does_not_fail_and_has_its_time_once_it_stays(
    database: Database,
) -> None:
    lane = await a_lane(database, due=1)
    async with database.transaction() as db:
        await freezing.freeze(db, lane.tenant.account_id)
    await waited(database, lane.deliveries[0].id, END + MINUTE)

    assert await fail_overdue(database) == 0

    async with database.transaction() as db:
        await freezing.unfreeze(db, lane.tenant.account_id)
    assert await fail_overdue(database) == 0


async def test_a_longer_schedule_has_more_time(database: Database) -> None:
    lane = await a_lane(database, due=1)
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoints SET retry_schedule = '{0, 600000}' WHERE id = $1", lane.endpoint_id)
    await waited(database, lane.deliveries[0].id, END + MINUTE)

    assert await fail_overdue(database) == 0
