"""Whatever PostgreSQL believes of the queue, what takes from it and writes to it reads no more than it must."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from conftest import TENANT_TABLES
from esimhooks.server.domain.delivery import Claimed, Verdict
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import fifo, lanes, queue
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.lanes import Lease
from esimhooks.server.store.queue import ClaimRequest
from esimhooks.server.store.results import write_results
from system.stored_lanes import AGAIN, DELIVERED, a_lane, result_of

pytestmark = [pytest.mark.slow(reason="puts thousands of deliveries into the queue"), pytest.mark.timeout(60)]

LANES = 5
DUE = 400
"""In each lane."""
ROOM = 50
TAKEN = LANES * ROOM
MAX_READ = 4 * TAKEN
"""Rows of the queue: each is looked for, changed, and looked at again; all of them are many more."""


@pytest.fixture(params=["counted empty", "counted full"])
async def leases(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[list[Lease]]:
    """The lanes of a full queue, counted last either when it had just been emptied, its pages still there, or as it is."""
    await _run(database, "ALTER TABLE queue SET (autovacuum_enabled = off)")
    await _fill(database)
    await _run(database, "ANALYZE queue")
    for table in TENANT_TABLES:
        await _run(database, f"DELETE FROM {table}")
    await _run(database, "ANALYZE queue")
    await _fill(database)
    full = request.param == "counted full"
    if full:
        await _run(database, "VACUUM ANALYZE queue")
    assert await _believed_full(database) == full
    async with database.session() as db:
        leased = await lanes.lease(db, holder=new_id(), seconds=300, share_of=1, limit=LANES)
    yield [one.lease for one in leased]
    await _run(database, "ALTER TABLE queue RESET (autovacuum_enabled)")


async def test_no_column_of_the_queue_is_counted(database: Database, leases: list[Lease]) -> None:
    async with database.session() as db:
        assert await db.conn.fetch("SELECT attname FROM pg_stats WHERE tablename = 'queue'") == []


async def test_claiming_reads_what_it_claims(database: Database, leases: list[Lease]) -> None:
    async with database.transaction() as db, _reading_little(db):
        claimed = await _claim(db, leases)
    assert len(claimed) == TAKEN


async def test_claiming_in_order_reads_what_it_claims_and_its_neighbours(
    database: Database, leases: list[Lease]
) -> None:
    async with database.session() as db:
        await db.conn.execute("UPDATE queue SET ordered = true, esim_id = gen_random_uuid()")
    async with database.transaction() as db, _reading_little(db):
        claimed = await _claim(db, leases)
    assert len(claimed) == TAKEN


async def test_claiming_reads_nothing_of_those_that_wait_behind_others(database: Database, leases: list[Lease]) -> None:
    async with database.session() as db:
        await db.conn.execute("UPDATE queue SET esim_id = endpoint_id")
        for one in leases:
            await fifo.reorder(db, one.endpoint_id, ordered=True)
        await db.conn.execute("UPDATE queue SET due_at = now() + interval '1 hour' WHERE due_at <= now()")
    async with database.transaction() as db, _reading_little(db):
        claimed = await _claim(db, leases)
    assert claimed == []


async def test_releasing_reads_what_it_releases(database: Database, leases: list[Lease]) -> None:
    claimed = await _claimed(database, leases)
    async with database.transaction() as db, _reading_little(db):
        await queue.release_claims(db, claimed)


@pytest.mark.parametrize("verdict", [DELIVERED, AGAIN], ids=["delivered", "again"])
async def test_outcomes_read_what_they_change(database: Database, leases: list[Lease], verdict: Verdict) -> None:
    claimed = await _claimed(database, leases)
    async with database.transaction() as db, _reading_little(db):
        written = await write_results(db, [result_of(one, verdict) for one in claimed])
    assert all(one.stored for one in written)


async def test_failing_what_waited_too_long_reads_what_it_fails(database: Database, leases: list[Lease]) -> None:
    async with database.session() as db:
        await db.conn.execute(
            "UPDATE queue SET started_at = now() - interval '99 days', due_at = now() - interval '99 days'"
        )
    async with database.transaction() as db, _reading_little(db):
        failed = await queue.fail_overdue(db, now=datetime.now(UTC), limit=TAKEN)
    assert len(failed) == TAKEN


async def _fill(database: Database) -> None:
    for _ in range(LANES):
        await a_lane(database, due=DUE)


async def _run(database: Database, statement: str) -> None:
    async with database.session() as db:
        await db.conn.execute(statement)


async def _believed_full(database: Database) -> bool:
    async with database.session() as db:
        return bool(await db.conn.fetchval("SELECT reltuples > 0 FROM pg_class WHERE oid = 'queue'::regclass"))


async def _claim(db: Session, leases: list[Lease]) -> list[Claimed]:
    return list((await queue.claim(db, [ClaimRequest(one, ROOM) for one in leases])).claimed)


async def _claimed(database: Database, leases: list[Lease]) -> list[Claimed]:
    async with database.transaction() as db:
        return await _claim(db, leases)


@asynccontextmanager
async def _reading_little(db: Session) -> AsyncIterator[None]:
    before = await _rows_read(db)
    yield
    assert await _rows_read(db) - before <= MAX_READ


async def _rows_read(db: Session) -> int:
    """Return how many rows of the queue this connection has read, but for what it has reported already."""
    return int(
        await db.conn.fetchval(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'queue'::regclass"
        )
    )
