"""ResultWriter are written while others change the same lanes: PostgreSQL must wait, recheck and survive."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from esimhooks.server.domain.delivery import Claimed
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import deliveries, endpoints, lanes, queue, results
from esimhooks.server.store.database import Database
from esimhooks.server.store.lanes import Lease
from esimhooks.server.store.queue import ClaimRequest
from esimhooks.server.store.results import Result
from esimhooks.vocabulary.statuses import Mode
from store.locks import until_somebody_waits
from system.stored_lanes import DELIVERED, a_delivery, a_lane, result_of

NOW = datetime.now(UTC)
BATCH = 200


async def test_results_are_written_after_a_wait_for_a_lane_that_was_renewed_meanwhile(database: Database) -> None:
    results = await _attempted(database, count=60)
    async with database.transaction() as other:
        await other.conn.execute("UPDATE lanes SET leased_until = leased_until + interval '1 second'")
        writing = asyncio.ensure_future(_write(database, results))
        await until_somebody_waits(database)
    written = await writing

    assert written == {result.claimed.delivery_id for result in results}
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM attempts") == len(results)
        assert await db.conn.fetchval("SELECT count(*) FROM deliveries WHERE status = 'delivered'") == len(results)


@pytest.mark.slow(reason="20 000 results under constant renewal: fewer rarely make PostgreSQL 18.4 fail")
@pytest.mark.timeout(120)
async def test_no_result_is_lost_while_leases_are_renewed_all_the_time(database: Database) -> None:
    results = await _attempted(database, count=20_000)
    leases = list({Lease(result.claimed.endpoint_id, result.claimed.lease_token) for result in results})
    async with database.session() as db:
        await db.conn.execute("ANALYZE")
    written: set[UUID] = set()
    renewing = asyncio.ensure_future(_renew_for_ever(database, leases))
    for first in range(0, len(results), BATCH):
        written |= await _write(database, results[first : first + BATCH])
    renewing.cancel()

    assert len(written) == len(results)
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM deliveries WHERE status = 'delivered'") == len(results)


async def test_deliveries_are_cancelled_after_a_wait_for_one_that_was_taken_up_meanwhile(database: Database) -> None:
    results = await _attempted(database, count=60)
    endpoint_id = results[0].claimed.endpoint_id
    async with database.transaction() as other:
        await other.conn.execute("UPDATE queue SET claims = claims + 1")
        deleting = asyncio.ensure_future(_delete(database, endpoint_id))
        await until_somebody_waits(database)
    await deleting

    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM deliveries WHERE status = 'cancelled'") == 3


async def _attempted(database: Database, *, count: int) -> list[Result]:
    """Make deliveries in 20 lanes, take them up and deliver all."""
    targets = [await a_lane(database, due=0) for _ in range(20)]
    made = [a_delivery(targets[index % len(targets)]) for index in range(count)]
    async with database.transaction() as db:
        for first in range(0, count, BATCH):
            await deliveries.insert(db, made[first : first + BATCH])
            await queue.enqueue(db, made[first : first + BATCH])
    claimed: list[Claimed] = []
    async with database.transaction() as db:
        leased = await lanes.lease(db, holder=new_id(), seconds=300, share_of=1, limit=20)
        while taken := (await queue.claim(db, [ClaimRequest(one.lease, BATCH) for one in leased])).claimed:
            claimed += taken
    return [result_of(one, DELIVERED) for one in claimed]


async def _renew_for_ever(database: Database, leases: list[Lease]) -> None:
    while True:
        async with database.session() as db:
            await lanes.renew(db, leases, seconds=300)


async def _write(database: Database, made: list[Result]) -> set[UUID]:
    async with database.transaction() as db:
        written = await results.write_results(db, made)
    return {one.claimed.delivery_id for one, what in zip(made, written, strict=True) if what.stored}


async def _delete(database: Database, endpoint_id: UUID) -> None:
    async with database.transaction() as db:
        tenant = await db.conn.fetchrow("SELECT account_id, mode FROM endpoints WHERE id = $1", endpoint_id)
        await endpoints.delete(db, Tenant(tenant["account_id"], Mode(tenant["mode"])), endpoint_id, now=NOW)
