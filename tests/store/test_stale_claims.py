"""Deliveries are claimed by a holder that was delayed meanwhile: what happened to them since is not overwritten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from esimhooks.server.domain.delivery import Claimed, DeliveryStatus
from esimhooks.server.store import queue
from esimhooks.server.store.database import Database
from esimhooks.server.store.lanes import Lease
from esimhooks.server.store.queue import ClaimRequest
from store.locks import until_somebody_waits
from system.stored_lanes import AGAIN, DELIVERED, Lane, a_lane, claim, expire, lease, queued, stored, write

pytestmark = [pytest.mark.slow(reason="waits until PostgreSQL says that a statement waits"), pytest.mark.timeout(30)]


async def test_a_late_claim_leaves_alone_what_the_next_holder_has_claimed(database: Database) -> None:
    first, lane = await a_lane(database, due=1), await a_lane(database, due=1)
    old = await _leases(database, first, lane)

    async with _blocked_claim(database, old, at=first) as late:
        await expire(database, old[1])
        [new] = await lease(database)
        claimed = await claim(database, new)

    assert [one.endpoint_id for one in await late] == [first.endpoint_id]
    assert await write(database, claimed, DELIVERED) == {lane.deliveries[0].id}
    assert await stored(database, lane, lane.deliveries[0].id) == (DeliveryStatus.DELIVERED, 1, 1)


async def test_a_late_claim_does_not_claim_early_what_failed_meanwhile(database: Database) -> None:
    first, lane = await a_lane(database, due=1), await a_lane(database, due=1)
    old = await _leases(database, first, lane)

    async with _blocked_claim(database, old, at=first) as late:
        await expire(database, old[1])
        [new] = await lease(database)
        await write(database, await claim(database, new), AGAIN)

    assert [one.endpoint_id for one in await late] == [first.endpoint_id]
    waiting = await queued(database, lane.deliveries[0].id)
    assert waiting is not None
    assert (waiting.claim_token, waiting.attempts, waiting.claims) == (0, 1, 1)


async def _leases(database: Database, *wanted: Lane) -> Sequence[Lease]:
    by_endpoint = {one.endpoint_id: one for one in await lease(database)}
    return [by_endpoint[lane.endpoint_id] for lane in wanted]


@asynccontextmanager
async def _blocked_claim(
    database: Database, leases: Sequence[Lease], *, at: Lane
) -> AsyncIterator[asyncio.Future[Sequence[Claimed]]]:
    """Claim what is due in these lanes, but wait in the middle, before the first of `at`, until the block ends."""
    async with database.transaction() as other:
        await other.conn.execute("SELECT FROM queue WHERE endpoint_id = $1 FOR UPDATE", at.endpoint_id)
        late = asyncio.ensure_future(_claim(database, leases))
        await until_somebody_waits(database)
        yield late


async def _claim(database: Database, leases: Sequence[Lease]) -> Sequence[Claimed]:
    async with database.session() as db:
        return (await queue.claim(db, [ClaimRequest(one, 100) for one in leases])).claimed
