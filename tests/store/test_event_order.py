"""Events are read in the order of their commits: what commits late comes late, and is never skipped."""

import asyncio
from datetime import UTC, datetime

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import events
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def an_event(tenant: Tenant) -> Event:
    return Event(
        id=new_id(),
        tenant=tenant,
        esim_id=None,
        type=EventType.ACTIVATED,
        happened_at=NOW,
        notification_id=None,
        body=b"{}",
    )


async def read(database: Database, tenant: Tenant, *, after: int = 0) -> list[Event]:
    async with database.session() as db:
        found = await events.page_after(db, tenant, EventFilter(), after=after, limit=100)
    return [one for one in found if isinstance(one, Event)]


async def test_an_event_made_early_and_committed_late_is_read_after_those_before_it(database: Database) -> None:
    tenant = Tenant(new_id(), Mode.TEST)
    early, late = an_event(tenant), an_event(tenant)
    assert early.id < late.id
    async with database.transaction() as db:
        await events.insert(db, [late])
    [seen] = await read(database, tenant)

    async with database.transaction() as db:
        await events.insert(db, [early])

    assert seen.id == late.id
    assert [event.id for event in await read(database, tenant, after=seen.position)] == [early.id]


async def test_a_transaction_that_stays_open_lets_none_of_its_tenant_pass(database: Database) -> None:
    tenant, other = Tenant(new_id(), Mode.TEST), Tenant(new_id(), Mode.TEST)
    first, second, apart = an_event(tenant), an_event(tenant), an_event(other)
    done = []

    async def store(event: Event) -> None:
        async with database.transaction() as db:
            await events.insert(db, [event])
        done.append(event.id)

    async with asyncio.TaskGroup() as group, database.transaction() as db:
        await events.insert(db, [first])
        group.create_task(store(second))
        await store(apart)
        assert done == [apart.id]
        assert await read(database, tenant) == []

    assert [event.id for event in await read(database, tenant)] == [first.id, second.id]


async def test_a_reader_that_follows_many_writers_misses_nothing_and_reads_nothing_twice(database: Database) -> None:
    tenants = [Tenant(new_id(), mode) for mode in (Mode.LIVE, Mode.TEST)]
    written: list[list[Event]] = []
    finished = asyncio.Event()

    async def write(number: int) -> None:
        for _ in range(8):
            made = [an_event(tenants[(number + index) % 2]) for index in range(3)]
            async with database.transaction() as db:
                await events.insert(db, made)
                await db.conn.execute("SELECT pg_sleep(0.002 * $1)", float(number % 3))
            written.append(made)

    async def follow(tenant: Tenant) -> list[Event]:
        found: list[Event] = []
        while True:
            last = finished.is_set()
            page = await read(database, tenant, after=found[-1].position if found else 0)
            found += page
            if last and not page:
                return found
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow(tenant)) for tenant in tenants]
        async with asyncio.TaskGroup() as writers:
            for number in range(5):
                writers.create_task(write(number))
        finished.set()

    for tenant, follower in zip(tenants, followers, strict=True):
        made = {event.id for batch in written for event in batch if event.tenant == tenant}
        found = [event.id for event in follower.result()]
        assert len(found) == len(set(found))
        assert set(found) == made
        assert [event.position for event in follower.result()] == list(range(1, len(made) + 1))


async def test_a_transaction_that_fails_leaves_no_gap(database: Database) -> None:
    tenant = Tenant(new_id(), Mode.TEST)
    try:
        async with database.transaction() as db:
            await events.insert(db, [an_event(tenant)])
            raise KeyError  # noqa: TRY301
    except KeyError:
        pass
    async with database.transaction() as db:
        await events.insert(db, [an_event(tenant), an_event(tenant)])

    assert [event.position for event in await read(database, tenant)] == [1, 2]
