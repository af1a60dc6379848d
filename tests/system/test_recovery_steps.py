"""Steps of a recovery: one that is cut off leaves nothing, and several nodes together send nothing twice."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from esimhooks.server.domain.recovery import NOT_ARRIVED, Recovery
from esimhooks.server.jobs.recovery import Asked, Recoveries
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import endpoints, queue, recoveries
from esimhooks.server.store.database import Database, Session
from system.stored_lanes import FAILED, Lane, a_lane, lease, queued, take, write


class PowerCutError(Exception):
    """Ends a transaction as a crash would."""


def a_worker(database: Database) -> Recoveries:
    return Recoveries(database, clock=lambda: datetime.now(UTC), begun=Wake(), due=Wake())


async def a_recovery(database: Database) -> tuple[Lane, Recovery]:
    """Return a lane whose three deliveries have failed, and the recovery that is to send them again."""
    lane = await a_lane(database, due=3)
    [held] = await lease(database)
    await write(database, await take(database, held), FAILED)
    now = datetime.now(UTC)
    asked = Asked(start=now - timedelta(hours=1), end=now + timedelta(minutes=1), statuses=NOT_ARRIVED)
    return lane, await a_worker(database).begin(lane.tenant, lane.endpoint_id, asked)


async def waiting(database: Database, lane: Lane) -> int:
    return sum([await queued(database, one.id) is not None for one in lane.deliveries])


async def _half_a_step(db: Session, lane: Lane) -> None:
    recovery = await recoveries.lock_next(db)
    endpoint = await endpoints.find_to_change(db, lane.tenant, lane.endpoint_id)
    assert recovery
    assert endpoint
    await queue.enqueue(db, await recoveries.reopen(db, endpoint, [one.id for one in lane.deliveries]))
    raise PowerCutError


async def test_a_step_that_is_cut_off_is_made_anew_and_sends_each_once(database: Database) -> None:
    lane, recovery = await a_recovery(database)
    with pytest.raises(PowerCutError):
        async with database.transaction() as db:
            await _half_a_step(db, lane)
    assert await waiting(database, lane) == 0

    await a_worker(database).work_off()

    done = await a_worker(database).find(lane.tenant, lane.endpoint_id, recovery.id)
    assert (done.total, done.seen, done.sent) == (3, 3, 3)
    assert done.finished_at
    assert await waiting(database, lane) == 3


async def test_nodes_that_work_at_once_send_each_once(database: Database) -> None:
    lane, recovery = await a_recovery(database)

    await asyncio.gather(*(a_worker(database).work_off() for _ in range(5)))

    done = await a_worker(database).find(lane.tenant, lane.endpoint_id, recovery.id)
    assert (done.seen, done.sent) == (3, 3)
    assert await waiting(database, lane) == 3


async def test_what_was_never_sent_stands_before_what_came_later(database: Database) -> None:
    lane, _ = await a_recovery(database)
    never, *_ = lane.deliveries
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoints SET ordering = 'esim' WHERE id = $1", lane.endpoint_id)
        await db.conn.execute("UPDATE events SET esim_id = $1", lane.endpoint_id)
        await db.conn.execute("UPDATE deliveries SET esim_id = $1", lane.endpoint_id)
        await db.conn.execute("DELETE FROM deliveries WHERE id = $1", never.id)

    await a_worker(database).work_off()

    async with database.session() as db:
        line = await db.conn.fetch("SELECT event_id FROM queue ORDER BY position")
    assert [row["event_id"] for row in line] == [one.event_id for one in lane.deliveries]
