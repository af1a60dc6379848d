"""Which lanes a dispatcher has leased, where the database does not answer what became of its statement."""

import asyncio
from datetime import UTC, datetime

import pytest

from api import eventually
from esimhooks.server.delivery.lane_scheduler import LaneScheduler
from esimhooks.server.delivery.lease_manager import LeaseConfig, LeaseManager
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.store.database import Database
from esimhooks.server.store.lanes import Backend
from system.stored_lanes import a_lane

IMPATIENT = LeaseConfig(linger_s=0, lease_every_s=0)


@pytest.mark.slow(reason="waits until PostgreSQL says that a statement waits")
@pytest.mark.timeout(30)
async def test_a_lane_whose_release_was_cut_off_is_served_again_at_once(database: Database) -> None:
    lane, scheduler = await a_lane(database, due=1), LaneScheduler(max_in_flight=10, max_in_flight_lane=10)
    holder = LeaseManager(database, scheduler, IMPATIENT)
    await holder.refresh()

    async with database.transaction() as other:
        await other.conn.execute("SELECT FROM lanes WHERE endpoint_id = $1 FOR UPDATE", lane.endpoint_id)
        release = asyncio.ensure_future(holder.release_idle())
        await eventually(lambda: _cut_off(database))
        with pytest.raises(NotNow):
            await release
    forgotten = lane.endpoint_id not in scheduler.lanes
    await holder.refresh()

    assert forgotten
    assert lane.endpoint_id in scheduler.lanes


@pytest.mark.slow(reason="makes a lane more than a dispatcher may hold")
@pytest.mark.timeout(30)
async def test_a_full_table_gives_lanes_back_to_those_that_wait_for_one(database: Database) -> None:
    full = LeaseConfig(max_lanes=10, heartbeat_every_s=0, lease_every_s=0, linger_s=60)
    lanes = {(await a_lane(database, due=1)).endpoint_id for _ in range(full.max_lanes + 1)}
    scheduler = LaneScheduler(max_in_flight=10, max_in_flight_lane=10)
    holder = LeaseManager(database, scheduler, full)
    await holder.refresh()
    [left_out] = lanes - set(scheduler.lanes)
    async with database.session() as db:  # the leased ones are served, and come due again later
        later = "UPDATE queue SET due_at = now() + interval '1 hour' WHERE endpoint_id <> $1"
        await db.conn.execute(later, left_out)

    await holder.refresh()
    await holder.release_idle()
    await holder.refresh()

    assert left_out in scheduler.lanes
    assert len(scheduler.lanes) == full.max_lanes


async def test_others_get_to_know_at_once_by_which_connection_a_dispatcher_lives(database: Database) -> None:
    connections: list[Backend | None] = [None]
    config = LeaseConfig(backend=lambda: connections[-1], heartbeat_every_s=60, heartbeat_idle_s=60)
    holder = LeaseManager(database, LaneScheduler(max_in_flight=10, max_in_flight_lane=10), config)
    await holder.refresh()
    assert holder.next_heartbeat_in_s > 0

    connections.append(Backend(4711, datetime(2026, 11, 30, tzinfo=UTC)))

    assert holder.next_heartbeat_in_s == 0
    await holder.refresh()
    async with database.session() as db:
        reported = await db.conn.fetchval("SELECT backend_pid FROM dispatchers WHERE holder = $1", holder.holder)
    assert reported == 4711
    assert holder.next_heartbeat_in_s > 0


async def test_nothing_is_leased_before_others_would_notice_its_death(database: Database) -> None:
    lane, scheduler = await a_lane(database, due=1), LaneScheduler(max_in_flight=10, max_in_flight_lane=10)
    connections: list[Backend | None] = [None]
    config = LeaseConfig(backend=lambda: connections[-1], backend_wait_s=60)
    holder = LeaseManager(database, scheduler, config)

    await holder.refresh()
    leased_unseen = dict(scheduler.lanes)
    connections.append(Backend(4711, datetime(2026, 11, 30, tzinfo=UTC)))
    await holder.refresh()

    assert not leased_unseen
    assert list(scheduler.lanes) == [lane.endpoint_id]


async def test_lanes_are_leased_all_the_same_where_that_connection_does_not_come(database: Database) -> None:
    lane, scheduler = await a_lane(database, due=1), LaneScheduler(max_in_flight=10, max_in_flight_lane=10)
    holder = LeaseManager(database, scheduler, LeaseConfig(backend=lambda: None, backend_wait_s=0))

    await holder.refresh()

    assert list(scheduler.lanes) == [lane.endpoint_id]


async def _cut_off(database: Database) -> bool:
    """Cut the connections that wait for a lock."""
    async with database.session() as db:
        return bool(await db.conn.fetch("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted"))
