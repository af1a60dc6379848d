"""Steps of a recovery: one that is cut off leaves nothing, several nodes send nothing twice, a bad row stops nobody."""

import asyncio

import pytest

from api import eventually
from esimhooks.server.domain.endpoint import Ordering
from esimhooks.server.domain.job import RecoveryFilter
from esimhooks.server.manage.jobs import cancel_job
from esimhooks.server.store import deliveries, jobs, queue
from esimhooks.server.store.database import Database, Session
from factories import SERVER
from system.stored_jobs import a_recovery, a_worker, now, present
from system.stored_lanes import Lane, queued


class PowerCutError(Exception):
    """Ends a transaction as a crash would."""


async def waiting(database: Database, lane: Lane) -> int:
    return sum([await queued(database, one.id) is not None for one in lane.deliveries])


async def lapse_leases(database: Database) -> None:
    async with database.session() as db:
        await db.conn.execute("UPDATE jobs SET due_at = now()")


async def _half_a_step(db: Session, lane: Lane) -> None:
    ids = [one.id for one in lane.deliveries]
    await queue.enqueue(db, await deliveries.reopen(db, ids, ordering=Ordering.NONE))
    raise PowerCutError


async def test_a_step_that_is_cut_off_is_made_again_and_sends_each_once(database: Database) -> None:
    lane, recovery = await a_recovery(database)
    async with database.transaction() as db:
        await jobs.claim(db, RecoveryFilter, limit=1, lease_s=60)
    with pytest.raises(PowerCutError):
        async with database.transaction() as db:
            await _half_a_step(db, lane)
    assert await waiting(database, lane) == 0
    assert await a_worker(database).process_due_recoveries() > 0  # whoever died may still be at it
    await lapse_leases(database)

    await a_worker(database).process_due_recoveries()

    done = await present(database, recovery)
    assert (done.total, done.done, done.changed) == (3, 3, 3)
    assert done.finished_at
    assert await waiting(database, lane) == 3


async def test_nodes_that_work_at_once_send_each_once(database: Database) -> None:
    lane, recovery = await a_recovery(database)

    await asyncio.gather(*(a_worker(database).process_due_recoveries() for _ in range(5)))

    done = await present(database, recovery)
    assert (done.done, done.changed) == (3, 3)
    assert await waiting(database, lane) == 3


async def test_a_node_whose_lease_ended_while_it_worked_counts_nothing_and_sends_nothing_twice(
    database: Database,
) -> None:
    lane, recovery = await a_recovery(database)
    async with database.transaction() as db:
        await db.conn.execute("SELECT FROM endpoints WHERE id = $1 FOR UPDATE", lane.endpoint_id)
        slow = asyncio.ensure_future(a_worker(database).process_due_recoveries())
        await _claimed(database)
        await lapse_leases(database)
        other = asyncio.ensure_future(a_worker(database).process_due_recoveries())
        await _claimed(database)
    await asyncio.gather(slow, other)

    done = await present(database, recovery)
    assert (done.done, done.changed) == (3, 3)
    assert await waiting(database, lane) == 3


async def test_a_recovery_that_is_cancelled_during_a_step_sends_nothing_of_that_step(database: Database) -> None:
    lane, recovery = await a_recovery(database)
    async with database.transaction() as db:
        await db.conn.execute("SELECT FROM endpoints WHERE id = $1 FOR UPDATE", lane.endpoint_id)
        step = asyncio.ensure_future(a_worker(database).process_due_recoveries())
        await _claimed(database)
        async with database.transaction() as other:
            ended = await cancel_job(other, SERVER, recovery, now=now())
    await step

    done = await present(database, recovery)
    assert (done.changed, done.problem, done.finished_at) == (0, "ended by a person", ended.finished_at)
    assert await waiting(database, lane) == 0


async def test_a_recovery_ends_where_its_endpoint_is_disabled(database: Database) -> None:
    lane, recovery = await a_recovery(database)
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoints SET enabled = false WHERE id = $1", lane.endpoint_id)

    await a_worker(database).process_due_recoveries()

    done = await present(database, recovery)
    assert done.finished_at
    assert (done.changed, done.problem) == (0, "the endpoint was disabled meanwhile: enable it and recover again")
    assert await waiting(database, lane) == 0


async def test_what_was_never_sent_stands_before_what_came_later(database: Database) -> None:
    lane, _ = await a_recovery(database)
    never, *_ = lane.deliveries
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoints SET ordering = 'esim' WHERE id = $1", lane.endpoint_id)
        await db.conn.execute("UPDATE events SET esim_id = $1", lane.endpoint_id)
        await db.conn.execute("UPDATE deliveries SET esim_id = $1", lane.endpoint_id)
        await db.conn.execute("DELETE FROM deliveries WHERE id = $1", never.id)

    await a_worker(database).process_due_recoveries()

    async with database.session() as db:
        line = await db.conn.fetch("SELECT event_id FROM queue ORDER BY position")
    assert [row["event_id"] for row in line] == [one.event_id for one in lane.deliveries]


async def test_an_event_that_cannot_be_sent_is_counted_with_its_reason_and_the_others_are_sent(
    database: Database,
) -> None:
    lane, recovery = await a_recovery(database, of=5)
    bad = lane.deliveries[1]
    async with database.session() as db:
        await db.conn.execute("UPDATE deliveries SET event_type = 'of.tomorrow' WHERE id = $1", bad.id)

    await a_worker(database).process_due_recoveries()

    done = await present(database, recovery)
    assert (done.done, done.changed, done.failed) == (5, 4, 1)
    assert done.finished_at
    assert (done.problem or "").endswith("an internal error occurred; the server's log has the details")
    assert await waiting(database, lane) == 4


async def test_an_endpoint_whose_headers_cannot_be_decrypted_delays_no_recovery(database: Database) -> None:
    lane, recovery = await a_recovery(database)
    other_lane, other = await a_recovery(database)
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoints SET sealed_headers = '\\x00' WHERE id = $1", lane.endpoint_id)

    await a_worker(database).process_due_recoveries()

    assert (await present(database, recovery)).finished_at
    assert (await present(database, other)).finished_at
    assert await waiting(database, lane) == await waiting(database, other_lane) == 3


async def _claimed(database: Database) -> None:
    """Wait until a node has the lease of every job."""

    async def found() -> bool:
        async with database.session() as db:
            return not await db.conn.fetchval("SELECT count(*) FROM jobs WHERE due_at <= now()")

    await eventually(found)
