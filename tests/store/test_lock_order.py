"""Endpoints are locked before lanes, and lanes before what waits in them (docs/decisions/0020), whoever comes first.

Each test holds one at its first lock and lets another come to it; in any other order the two would wait for each other
until PostgreSQL ends one of them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from api import eventually
from esimhooks.server.domain.account import ApiKey
from esimhooks.server.domain.breaker import BreakerState, Transition
from esimhooks.server.domain.endpoint import DisabledReason, Ordering
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.roles import Role
from esimhooks.server.store import accounts, endpoints, keys, lanes
from esimhooks.server.store.database import Database, Session
from system.stored_jobs import a_recovery, a_worker
from system.stored_lanes import AGAIN, DELIVERED, GONE, Lane, a_lane, claim, lease, write

NOW = datetime.now(UTC)
FAILS = Transition(BreakerState(failures=3))

pytestmark = [
    pytest.mark.slow(reason="PostgreSQL looks for a deadlock after a second"),
    pytest.mark.timeout(60),
]


@asynccontextmanager
async def changing(database: Database, lane: Lane) -> AsyncIterator[Session]:
    """Begin to change the endpoint of a lane, as a person's command does."""
    async with database.transaction() as db:
        assert await endpoints.find_to_change(db, lane.tenant, lane.endpoint_id)
        yield db


async def waiters(database: Database, number: int) -> None:
    """Return once so many transactions wait for a lock."""

    async def found() -> bool:
        async with database.session() as db:
            waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
            return int(await db.conn.fetchval(waiting)) >= number

    await eventually(found)


async def disabled_reason(database: Database, lane: Lane) -> DisabledReason | None:
    async with database.session() as db:
        endpoint = await endpoints.find(db, lane.tenant, lane.endpoint_id)
    assert endpoint
    return endpoint.disabled_reason


async def test_a_receiver_says_410_while_a_person_disables_its_endpoint(database: Database) -> None:
    lane = await a_lane(database, due=1)
    claimed = await claim(database, (await lease(database))[0])
    async with changing(database, lane) as person:
        writing = asyncio.ensure_future(write(database, claimed, GONE))
        await waiters(database, 1)
        await lanes.switch(person, lane.endpoint_id, is_enabled=False)

    assert await writing == {lane.deliveries[0].id}


async def test_an_endpoint_has_failed_for_too_long_while_a_person_deletes_it(database: Database) -> None:
    lane = await a_lane(database, due=1)
    claimed = await claim(database, (await lease(database))[0])
    async with database.session() as db:
        await db.conn.execute("UPDATE lanes SET failing_since = now() - interval '6 days'")
    async with changing(database, lane) as person:
        writing = asyncio.ensure_future(write(database, claimed, AGAIN, transition=FAILS))
        await waiters(database, 1)
        await endpoints.delete(person, lane.tenant, lane.endpoint_id, now=NOW)

    assert await writing == set()


async def test_an_endpoint_that_has_failed_for_too_long_is_disabled_and_one_that_has_not_stays(
    database: Database,
) -> None:
    old, young = await a_lane(database, due=1), await a_lane(database, due=1)
    claimed = [one for leased in await lease(database) for one in await claim(database, leased)]
    async with database.session() as db:
        for lane, days in ((old, 6), (young, 4)):
            await db.conn.execute(
                "UPDATE lanes SET failing_since = now() - make_interval(days => $2) WHERE endpoint_id = $1",
                lane.endpoint_id,
                days,
            )

    await write(database, claimed, AGAIN, transition=FAILS)

    assert await disabled_reason(database, old) is DisabledReason.FAILING
    assert await disabled_reason(database, young) is None


async def test_outcomes_are_written_while_a_person_asks_for_order(database: Database) -> None:
    lane = await a_lane(database, due=2)
    first = lane.deliveries[0].id
    claimed = await claim(database, (await lease(database))[0])
    async with database.session() as db:
        await db.conn.execute("UPDATE queue SET esim_id = delivery_id")
        await db.conn.execute("UPDATE queue SET due_at = due_at + interval '1 hour' WHERE delivery_id = $1", first)
    async with database.transaction() as other:
        await other.conn.execute("SELECT FROM queue WHERE delivery_id = $1 FOR UPDATE", first)
        writing = asyncio.ensure_future(write(database, claimed, DELIVERED))
        await waiters(database, 1)
        ordering = asyncio.ensure_future(_put_in_order(database, lane))
        await waiters(database, 2)
    await asyncio.gather(writing, ordering)


async def _put_in_order(database: Database, lane: Lane) -> None:
    async with changing(database, lane) as db:
        endpoint = await endpoints.find(db, lane.tenant, lane.endpoint_id)
        assert endpoint
        await endpoints.reorder(db, replace(endpoint, ordering=Ordering.ESIM))


async def test_a_recovery_takes_a_step_while_a_person_deletes_its_endpoint(database: Database) -> None:
    lane, _ = await a_recovery(database, of=1)
    async with changing(database, lane) as person:
        step = asyncio.ensure_future(a_worker(database).process_due_recoveries())
        await waiters(database, 1)
        await endpoints.delete(person, lane.tenant, lane.endpoint_id, now=NOW)
    await step

    assert await a_worker(database).process_due_recoveries() > 0  # the job went with its endpoint


async def test_outcomes_are_written_while_an_account_with_endpoints_of_both_modes_is_deleted(
    database: Database,
) -> None:
    lower, upper = await a_lane(database, due=1), await a_lane(database, due=1)
    claimed = [one for leased in await lease(database) for one in await claim(database, leased)]
    async with database.session() as db:
        await db.conn.execute("UPDATE endpoints SET account_id = $1", lower.tenant.account_id)
        await db.conn.execute("UPDATE endpoints SET mode = 'live' WHERE id = $1", upper.endpoint_id)
    async with database.transaction() as other:
        await other.conn.execute("SELECT FROM lanes WHERE endpoint_id = $1 FOR UPDATE", lower.endpoint_id)
        writing = asyncio.ensure_future(write(database, claimed, DELIVERED))
        await waiters(database, 1)
        deleting = asyncio.ensure_future(_delete_account(database, lower))
        await waiters(database, 2)
    await asyncio.gather(writing, deleting)


async def _delete_account(database: Database, lane: Lane) -> None:
    async with database.transaction() as db:
        assert await accounts.delete(db, lane.tenant.account_id)


async def test_a_key_is_given_another_url_while_its_endpoint_is_deleted(database: Database) -> None:
    lane = await a_lane(database, due=0)
    key = ApiKey(
        id=new_id(),
        tenant=lane.tenant,
        role=Role.MANAGE,
        name="ci",
        lookup="lookup",
        digest=b"",
        endpoint_id=lane.endpoint_id,
        allowed_ips=None,
        expires_at=None,
        created_at=NOW,
        last_used_at=None,
    )
    async with database.session() as db:
        await keys.insert(db, key)
    async with database.transaction() as person:
        assert await keys.lock(person, lane.tenant.account_id, key.id)
        deleting = asyncio.ensure_future(_delete_endpoint(database, lane))
        await waiters(database, 1)
        await keys.move_endpoint(person, lane.tenant, lane.endpoint_id, url="http://127.0.0.1:9/new", now=NOW)

    assert await deleting


async def _delete_endpoint(database: Database, lane: Lane) -> bool:
    async with database.transaction() as db:
        return await endpoints.delete(db, lane.tenant, lane.endpoint_id, now=NOW)
