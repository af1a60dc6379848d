"""What a dispatcher remembers of endpoints that it does not serve any longer."""

import asyncio
import gc

import pytest

from api import eventually
from esimhooks.server.delivery import dispatcher
from esimhooks.server.delivery.dispatcher import Dispatcher, DispatcherConfig
from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.lease_manager import LeaseConfig
from esimhooks.server.delivery.results import ResultWriter
from esimhooks.server.domain.clock import system_clock
from esimhooks.server.domain.delivery import EndpointTarget
from esimhooks.server.runtime.loop import Loop, Wake
from esimhooks.server.store.database import Database
from system.stored_lanes import a_lane

FEW, LANES = 2, 8
IMPATIENT = DispatcherConfig(poll_every_s=0.01, leases=LeaseConfig(linger_s=0, lease_every_s=0))


async def test_endpoints_that_are_not_served_any_longer_are_forgotten(
    database: Database, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "MAX_UNLEASED", FEW)
    ids = {(await a_lane(database, due=1)).endpoint_id for _ in range(LANES)}
    results = ResultWriter(database, clock=system_clock, due=Wake())
    dispatching = Dispatcher(database, sender, results, clock=system_clock, wake=Wake(), config=IMPATIENT)
    loops = [
        Loop("outcomes", results.commits.commit_waiting, wake=results.commits.wake),
        Loop("dispatching", dispatching.dispatch),
    ]

    async def all_attempted() -> bool:
        async with database.session() as db:
            return bool(await db.conn.fetchval("SELECT count(*) FROM attempts") == LANES)

    async def are_forgotten() -> bool:
        gc.collect()
        return sum(isinstance(one, EndpointTarget) and one.id in ids for one in gc.get_objects()) <= FEW

    async with asyncio.TaskGroup() as group:
        attempts = group.create_task(dispatching.attempts())
        running = [group.create_task(loop.run()) for loop in loops]
        await eventually(all_attempted)
        await eventually(are_forgotten)
        loops[1].stop()
        await running[1]
        await dispatching.drain()
        dispatching.dismiss()
        await attempts
        loops[0].stop()
