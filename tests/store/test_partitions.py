"""Daily partitions: where a row comes to lie by the time inside its id, and what happens to those far off."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.store import migrate as migrations
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.server.store.partitions import (
    DAYS_AHEAD,
    DAYS_BEHIND,
    TABLES,
    drop_before,
    ensure_partitions,
    partition_name,
)
from patience import patience_s

pytestmark = [
    pytest.mark.slow(reason="makes a database of its own, on a machine that may be busy"),
    pytest.mark.timeout(30),
]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = {
    "notifications": "INSERT INTO notifications (id, source, received_at, outcome, request, sealed_body) "
    "VALUES ($1, 'upstream', now(), 'applied', '{}', '')",
    "events": "INSERT INTO events (id, account_id, mode, type, happened_at, sealed_body) "
    "VALUES ($1, gen_random_uuid(), 'test', 'esim.created', now(), '')",
    "deliveries": "INSERT INTO deliveries (id, account_id, mode, event_id, event_type, endpoint_id, status) "
    "VALUES ($1, gen_random_uuid(), 'test', gen_random_uuid(), 'esim.created', gen_random_uuid(), 'pending')",
    "attempts": "INSERT INTO attempts (id, account_id, delivery_id, number, started_at, duration_ms, outcome, "
    "response_headers, sealed_body) VALUES ($1, gen_random_uuid(), gen_random_uuid(), 1, now(), 1, '2xx', '[]', '')",
}


async def make(database: Database, now: datetime) -> None:
    assert await ensure_partitions(database, now=now) == []


async def put(database: Database, table: str, made_at: datetime) -> UUID:
    """Store a row whose id was made at this time; return the id."""
    row_id = UUID(int=first_id_of(made_at).int | uuid4().int & (1 << 62) - 1)
    async with database.session() as db:
        await db.conn.execute(ROWS[table], row_id)
    return row_id


async def partition_of(database: Database, table: str, row_id: UUID) -> str:
    async with database.session() as db:
        found: str = await db.conn.fetchval(f"SELECT tableoid::regclass::text FROM {table} WHERE id = $1", row_id)
        return found


async def partitions_of(database: Database) -> dict[str, str]:
    """Return the partitions with their bounds."""
    async with database.session() as db:
        rows = await db.conn.fetch(
            "SELECT oid, relname, pg_get_expr(relpartbound, oid) AS bound FROM pg_class "
            "WHERE relispartition AND relkind = 'r'"
        )
        return {f"{row['relname']} {row['oid']}": row["bound"] for row in rows}


@pytest.mark.parametrize("table", TABLES)
async def test_a_row_lies_in_the_partition_of_the_day_inside_its_id(fresh: Database, table: str) -> None:
    await make(fresh, NOON)
    midnight = NOON.replace(hour=0)

    for made_at, day in [
        (NOON, NOON),
        (midnight, NOON),
        (midnight - timedelta(milliseconds=1), NOON - DAY),
        (midnight + DAY - timedelta(milliseconds=1), NOON),
        (NOON - DAYS_BEHIND * DAY, NOON - DAYS_BEHIND * DAY),
        (NOON + DAYS_AHEAD * DAY, NOON + DAYS_AHEAD * DAY),
    ]:
        assert await partition_of(fresh, table, await put(fresh, table, made_at)) == partition_name(table, day)


@pytest.mark.parametrize("table", TABLES)
async def test_a_row_far_off_is_taken_and_moves_when_its_day_is_made(fresh: Database, table: str) -> None:
    await make(fresh, NOON)
    far = NOON + 30 * DAY
    early, late = await put(fresh, table, far), await put(fresh, table, far + 300 * DAY)
    assert await partition_of(fresh, table, early) == f"{table}_default"

    await make(fresh, far)

    assert await partition_of(fresh, table, early) == partition_name(table, far)
    assert await partition_of(fresh, table, late) == f"{table}_default"
    async with fresh.session() as db:
        assert await db.conn.fetchval(f"SELECT count(*) FROM {table}") == 2


async def test_making_partitions_again_changes_nothing(fresh: Database) -> None:
    await make(fresh, NOON)
    before = await partitions_of(fresh)

    await make(fresh, NOON)

    assert await partitions_of(fresh) == before
    assert len(before) == len(TABLES) * (DAYS_BEHIND + 1 + DAYS_AHEAD + 1)  # today's and the default one


async def test_several_nodes_may_make_partitions_at_once(fresh: Database) -> None:
    await asyncio.gather(*[make(fresh, NOON) for _ in range(4)])

    assert len(await partitions_of(fresh)) == len(TABLES) * (DAYS_BEHIND + 1 + DAYS_AHEAD + 1)


async def test_the_days_of_another_schema_of_the_database_are_not_ours(empty: str) -> None:
    databases = []
    for schema in ("first", "second"):
        server = await asyncpg.connect(empty)
        await server.execute(f"CREATE SCHEMA {schema}")
        await server.close()
        address = f"{empty}&search_path={schema}"
        await migrations.migrate(address)
        databases.append(await connect(address, Cipher([new_key()]), connections=1))
    first, second = databases
    await make(first, NOON)
    await make(second, NOON)

    dropped, in_use = await drop_before(first, NOON + 10 * DAY)

    assert in_use == []
    assert len(dropped) == len(TABLES) * (DAYS_BEHIND + 1 + DAYS_AHEAD)
    assert await partition_of(second, "events", await put(second, "events", NOON)) == partition_name("events", NOON)
    await first.close()
    await second.close()


async def test_days_are_those_of_utc_wherever_the_server_stands(fresh: Database) -> None:
    late_in_utc = datetime.fromisoformat("2026-11-24T01:00:00+05:00")

    await make(fresh, late_in_utc)

    assert await partition_of(fresh, "events", await put(fresh, "events", late_in_utc)) == "events_20261123"


async def test_a_partition_keeps_ids_unique(fresh: Database) -> None:
    await make(fresh, NOON)
    row_id = await put(fresh, "events", NOON)

    async with fresh.session() as db:
        again = await db.conn.fetchval(
            f"WITH made AS ({ROWS['events']} ON CONFLICT DO NOTHING RETURNING id) SELECT count(*) FROM made", row_id
        )

    assert again == 0


async def test_days_are_made_and_dropped_beside_a_reader_without_holding_anybody_up(
    fresh: Database, empty: str
) -> None:
    await make(fresh, NOON)
    reader = await asyncpg.connect(empty)
    report = reader.transaction()
    await report.start()
    await reader.fetchval("SELECT count(*) FROM deliveries")

    making = asyncio.create_task(ensure_partitions(fresh, now=NOON + DAY))
    waits = []
    while not making.done():
        began = asyncio.get_running_loop().time()
        await put(fresh, "deliveries", NOON)
        waits.append(asyncio.get_running_loop().time() - began)
    missing = await making
    dropped, in_use = await drop_before(fresh, NOON + 100 * DAY)
    await report.rollback()
    await reader.close()

    coming = NOON + (DAYS_AHEAD + 1) * DAY
    assert missing == [partition_name("deliveries", coming)]
    assert {name.rpartition("_")[0] for name in in_use} == {"deliveries"}
    assert {name.rpartition("_")[0] for name in dropped} == {"attempts", "events", "notifications"}
    assert max(waits) < patience_s() / 5
    await make(fresh, NOON + DAY)
    assert (await drop_before(fresh, NOON + 100 * DAY))[1] == []


async def test_what_is_pending_keeps_its_day_and_later_ones_also_where_it_came_to_be_pending_late(
    fresh: Database,
) -> None:
    await make(fresh, NOON)
    event = await put(fresh, "events", NOON)
    async with fresh.session() as db:
        await db.conn.execute(
            "INSERT INTO backlog (notification_id, source, due_at) VALUES ($1, 'upstream', now())", event
        )

    dropped, _ = await drop_before(fresh, NOON + 100 * DAY)

    assert {name.rpartition("_")[2] for name in dropped} == {f"{NOON - DAY:%Y%m%d}"}
