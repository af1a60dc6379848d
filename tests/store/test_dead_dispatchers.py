"""Who takes a dispatcher for dead: not those that have only just found the database again themselves."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import lanes
from esimhooks.server.store.database import Database
from esimhooks.server.store.lanes import Backend

LEASE_S = 30.0
GONE = 2**30
"""No process has this number."""


async def a_silent_one(database: Database, *last: Backend | None) -> UUID:
    """A dispatcher whose connection has ended and that has not reported for a while, as all are after a failover.

    `last` are the connections with which it has reported.
    """
    holder = new_id()
    async with database.session() as db:
        for backend in last or (Backend(GONE, datetime.now(UTC)),):
            await lanes.heartbeat(db, holder=holder, seconds=LEASE_S, backend=backend)
        await db.conn.execute("UPDATE dispatchers SET seen_until = seen_until - interval '8 seconds'")
    return holder


async def takes_for_dead(database: Database, *, connected_s: float | None) -> bool:
    started_at = datetime.now(UTC) - timedelta(seconds=connected_s or 0)
    backend = None if connected_s is None else Backend(GONE + 1, started_at)
    async with database.session() as db:
        presence = await lanes.heartbeat(db, holder=new_id(), seconds=LEASE_S, backend=backend)
    return presence.some_dead


async def test_one_whose_connection_has_ended_is_taken_for_dead_by_those_that_kept_theirs(database: Database) -> None:
    await a_silent_one(database)

    assert await takes_for_dead(database, connected_s=60)


async def test_one_that_died_before_it_had_a_connection_again_is_taken_for_dead_by_its_last(database: Database) -> None:
    await a_silent_one(database, Backend(GONE, datetime.now(UTC)), None)

    assert await takes_for_dead(database, connected_s=60)


async def test_after_a_failover_the_first_to_come_back_leaves_the_others_their_lanes(database: Database) -> None:
    await a_silent_one(database)

    assert not await takes_for_dead(database, connected_s=1)
    assert not await takes_for_dead(database, connected_s=None)
