"""Migrations: from nothing or an earlier release to the present schema, at once on two nodes, under load, and refused."""

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from api import eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.job import Missed, RecoveryFilter, RequeryFilter
from esimhooks.server.store import jobs
from esimhooks.server.store import migrate as migrations
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.vocabulary.statuses import EsimStatus, Mode

pytestmark = [
    pytest.mark.slow(reason="makes a database of its own, on a machine that may be busy"),
    pytest.mark.timeout(30),
]
LAST_OF_ALEMBIC = 15
LAST_OF_ALEMBIC_SHA256 = "686bf2e249b080b170fba4f733609e704b110f2d78ef0729b28cf5f8e121f2fe"
CATALOGUE = """
    SELECT 'column' AS kind, format('%I.%I %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    UNION ALL SELECT 'index', indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('alembic_version'), 0)
    ORDER BY 1, 2
"""


async def rows_of(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def without_days(rows: list[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    return {row for row in rows if "_20" not in str(row)}


async def migrated_with_alembic(dsn: str, *, to: int) -> None:
    """Leave a database as earlier releases did: the same files, and one row of Alembic's."""
    connection = await asyncpg.connect(dsn)
    try:
        for number in range(1, to + 1):
            await connection.execute(migrations.FILES[number].read_text(encoding="utf-8"))
        await connection.execute(
            f"""
            CREATE TABLE alembic_version (version_num varchar(32) CONSTRAINT alembic_version_pkc PRIMARY KEY);
            INSERT INTO alembic_version VALUES ('{to:04}')
            """
        )
    finally:
        await connection.close()


async def test_an_empty_database_is_brought_up_to_date(empty: str) -> None:
    await migrations.migrate(empty)

    await migrations.check_current(empty)
    applied = await rows_of(empty, "SELECT number FROM schema_migrations WHERE applied_at IS NOT NULL ORDER BY 1")
    assert applied == [(number,) for number in sorted(migrations.FILES)]


async def test_a_fresh_database_is_like_every_other_that_was_migrated(empty: str, migrated: str) -> None:
    await migrations.migrate(empty)

    assert without_days(await rows_of(empty, CATALOGUE)) == without_days(await rows_of(migrated, CATALOGUE))


async def test_migrating_again_does_nothing(empty: str) -> None:
    await migrations.migrate(empty)
    before = await rows_of(empty, CATALOGUE)
    oids = await rows_of(empty, "SELECT oid, relname, relfilenode FROM pg_class ORDER BY oid")

    await migrations.migrate(empty)

    assert await rows_of(empty, CATALOGUE) == before
    assert await rows_of(empty, "SELECT oid, relname, relfilenode FROM pg_class ORDER BY oid") == oids


async def test_rows_outlive_a_migration(empty: str) -> None:
    await migrations.migrate(empty)
    await rows_of(empty, "INSERT INTO accounts VALUES (gen_random_uuid(), 'Acme', now(), now()) RETURNING id")

    await migrations.migrate(empty)

    assert await rows_of(empty, "SELECT name FROM accounts") == [("Acme",)]


async def test_timeouts_that_were_stored_inexactly_are_what_was_meant(empty: str) -> None:
    await migrations.migrate(empty, to=12)
    await rows_of(
        empty,
        """
        WITH account AS (INSERT INTO accounts VALUES (gen_random_uuid(), 'Acme', now(), now()) RETURNING id)
        INSERT INTO endpoints (id, account_id, mode, url, retry_schedule, timeout_s, max_in_flight, enabled, created_at,
                               updated_at)
        SELECT gen_random_uuid(), id, 'live', 'https://hooks.example.com', '{0}', seconds, 1, true, now(), now()
        FROM account, unnest('{2.3, 5, 29.999}'::real[]) AS seconds
        """,
    )

    await migrations.migrate(empty)

    assert await rows_of(empty, "SELECT timeout_s FROM endpoints ORDER BY 1") == [(2.3,), (5.0,), (29.999,)]


async def test_recoveries_and_requeries_that_were_stored_go_on_as_background_jobs(empty: str) -> None:
    await migrations.migrate(empty, to=15)
    await rows_of(
        empty,
        """
        WITH account AS (INSERT INTO accounts VALUES (gen_random_uuid(), 'Acme', now(), now()) RETURNING id),
        endpoint AS (
            INSERT INTO endpoints (id, account_id, mode, url, retry_schedule, timeout_s, max_in_flight, enabled, created_at,
                                   updated_at)
            SELECT gen_random_uuid(), id, 'live', 'https://hooks.example.com', '{0}', 5, 1, true, now(), now() FROM account
            RETURNING id, account_id
        ), recovery AS (
            INSERT INTO recoveries (id, account_id, mode, endpoint_id, first_event, last_event, statuses, total, reached,
                                    seen, sent, created_at)
            SELECT gen_random_uuid(), account_id, 'live', id, account_id, id, '{failed,never}', 9, account_id, 5, 4, now()
            FROM endpoint RETURNING id
        )
        INSERT INTO requeries (id, account_id, mode, status, iccid, last_esim, matched, reached, done, changed, failed,
                               problem, waits, created_at)
        SELECT gen_random_uuid(), id, 'live', 'IN_USE', '89', id, 7, id, 3, 2, 1, 'no answer', 6, now() FROM account
        RETURNING id
        """,
    )

    await migrations.migrate(empty)

    pool = await connect(empty, Cipher([new_key()]), connections=1)
    async with pool.transaction() as db:
        account = await db.conn.fetchval("SELECT id FROM accounts")
        endpoint = await db.conn.fetchval("SELECT id FROM endpoints")
        [recovery] = await jobs.claim(db, RecoveryFilter, limit=9, lease_s=60)
        [requery] = await jobs.claim(db, RequeryFilter, limit=9, lease_s=60)
    await pool.close()
    tenant = Tenant(account, Mode.LIVE)
    statuses = (Missed.FAILED, Missed.NEVER)
    assert recovery.filter == RecoveryFilter(first_event=account, last_event=endpoint, statuses=statuses)
    assert (recovery.tenant, recovery.endpoint_id, recovery.total) == (tenant, endpoint, 9)
    assert (recovery.cursor, recovery.done, recovery.changed, recovery.finished_at) == (account, 5, 4, None)
    where = EsimFilter(status=EsimStatus.IN_USE, iccid="89")
    assert requery.filter == RequeryFilter(where=where, last_esim=account)
    assert (requery.cursor, requery.total, requery.done, requery.changed, requery.failed) == (account, 7, 3, 2, 1)
    assert (requery.problem, requery.waits) == ("no answer", 6)


async def test_a_table_that_is_altered_under_a_node_is_met_once_and_not_again(fresh: Database) -> None:
    async def look() -> None:
        async with fresh.transaction() as db:
            await db.conn.fetch("SELECT * FROM endpoints")

    await look()
    async with fresh.transaction() as db:
        await db.conn.execute("ALTER TABLE endpoints ADD COLUMN another integer")
    with pytest.raises(NotNow):
        await look()

    await look()


async def test_several_nodes_may_migrate_at_once(empty: str) -> None:
    await asyncio.gather(*[migrations.migrate(empty) for _ in range(3)])

    await migrations.check_current(empty)
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
    assert await rows_of(empty, locks + "(SELECT oid FROM pg_database WHERE datname = current_database())") == [(0,)]


async def test_an_empty_database_is_refused_with_what_to_run(empty: str, settings: Settings) -> None:
    with pytest.raises(Broken, match=r"at migration none, this program needs .*: run `esimhooks migrate`"):
        await migrations.check_current(empty)
    with pytest.raises(Broken, match="run `esimhooks migrate`"):
        async with running(
            settings.model_copy(update={"database_url": Settings.read(database_url=empty).database_url})
        ):
            pass


async def test_a_database_that_a_newer_program_has_migrated_is_taken(empty: str) -> None:
    await migrations.migrate(empty)
    await rows_of(empty, "INSERT INTO schema_migrations VALUES (9999, 1, now())")

    await migrations.check_current(empty)
    await migrations.migrate(empty)


async def test_a_database_whose_migrations_this_program_cannot_work_with_is_refused(empty: str) -> None:
    await migrations.migrate(empty)
    await rows_of(empty, "INSERT INTO schema_migrations VALUES (9999, 9998, now())")

    with pytest.raises(Broken, match=r"at migration 9999, which needs a program that knows 9998; .*: upgrade it"):
        await migrations.check_current(empty)
    with pytest.raises(Broken, match="upgrade it"):
        await migrations.migrate(empty)


async def test_a_database_at_an_older_migration_is_refused(empty: str) -> None:
    await migrations.migrate(empty, to=1)

    with pytest.raises(Broken, match=r"at migration 0001, this program needs .*: run `esimhooks migrate`"):
        await migrations.check_current(empty)


def test_the_files_that_alembic_applied_stay_as_they_are() -> None:
    files = [migrations.FILES[number] for number in range(1, LAST_OF_ALEMBIC + 1)]

    assert sha256(b"".join(path.read_bytes() for path in files)).hexdigest() == LAST_OF_ALEMBIC_SHA256


@pytest.mark.parametrize("to", [1, 12, LAST_OF_ALEMBIC])
async def test_a_database_that_alembic_migrated_becomes_like_every_other(empty: str, migrated: str, to: int) -> None:
    await migrated_with_alembic(empty, to=to)

    await migrations.migrate(empty)
    await migrations.migrate(empty)

    await migrations.check_current(empty)
    assert without_days(await rows_of(empty, CATALOGUE)) == without_days(await rows_of(migrated, CATALOGUE))
    numbers = await rows_of(empty, "SELECT number, applied_at IS NULL FROM schema_migrations ORDER BY 1")
    assert numbers == [(number, number <= to) for number in sorted(migrations.FILES)]


async def test_nodes_of_the_release_with_alembic_still_find_their_migration(empty: str) -> None:
    await migrated_with_alembic(empty, to=LAST_OF_ALEMBIC)

    await migrations.migrate(empty)

    assert await rows_of(empty, "SELECT version_num FROM alembic_version") == [(f"{LAST_OF_ALEMBIC:04}",)]


async def test_a_database_that_alembic_left_behind_is_refused_until_it_is_migrated(empty: str) -> None:
    await migrated_with_alembic(empty, to=12)

    assert (await migrations.state(empty))[0] == "0012"
    with pytest.raises(Broken, match=r"at migration 0012, this program needs .*: run `esimhooks migrate`"):
        await migrations.check_current(empty)


async def test_a_migration_that_fails_leaves_nothing_and_says_which_and_why(empty: str) -> None:
    await migrations.migrate(empty, to=9)
    await rows_of(empty, "CREATE INDEX esims_by_status ON esims (id)")

    with pytest.raises(Broken, match=r'^0010_searches.sql: .* relation "esims_by_status" already exists$'):
        await migrations.migrate(empty)

    assert await rows_of(empty, "SELECT max(number) FROM schema_migrations") == [(9,)]
    assert await rows_of(empty, "SELECT to_regclass('deliveries_by_endpoint')") == [(None,)]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("default_transaction_read_only=on", "cannot execute CREATE TABLE in a read-only transaction"),
        ("search_path=nowhere", "no schema has been selected to create in"),
        ("role=pg_monitor", "permission denied for schema public"),
    ],
)
async def test_a_database_that_may_not_be_changed_is_reported_in_the_words_of_the_server(
    empty: str, setting: str, message: str
) -> None:
    with pytest.raises(Broken, match=message):
        await migrations.migrate(f"{empty}&{setting}")


async def test_a_migration_that_waits_for_a_long_reader_lets_others_pass_and_is_tried_again(empty: str) -> None:
    await migrations.migrate(empty, to=12)
    reader, watcher = await asyncpg.connect(empty), await asyncpg.connect(empty)
    report = reader.transaction()
    await report.start()
    await reader.execute("SELECT count(*) FROM endpoints")

    async def waits() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'endpoints'::regclass"
        return bool(await watcher.fetchval(waiting))

    async def passes() -> bool:
        return not await waits()

    async with asyncio.TaskGroup() as group:
        migrating = group.create_task(migrations.migrate(empty))
        await eventually(waits)
        await eventually(passes)
        await watcher.execute("SELECT count(*) FROM endpoints")
        assert not migrating.done()
        await report.rollback()

    await migrations.check_current(empty)
    await reader.close()
    await watcher.close()


async def test_two_installations_share_a_database_in_schemas_of_their_own(empty: str) -> None:
    await rows_of(empty, "CREATE SCHEMA first")
    await rows_of(empty, "CREATE SCHEMA second")
    first, second = f"{empty}&search_path=first,public", f"{empty}&search_path=second,first"
    await migrations.migrate(first)

    with pytest.raises(Broken, match="at migration none"):
        await migrations.check_current(second)
    await migrations.migrate(second)

    await migrations.check_current(second)
    tables = "SELECT schemaname, count(*) FROM pg_tables WHERE schemaname IN ('first', 'second', 'public') GROUP BY 1"
    (name, count), (other, other_count) = sorted(await rows_of(empty, tables))
    assert (name, other, count) == ("first", "second", other_count)


@pytest.mark.parametrize("address", ["postgresql://u:pa/secret@h/db", "postgresql://u:pa#secret@h:5432/db"])
async def test_an_address_that_cannot_be_read_is_reported_without_its_password(address: str) -> None:
    with pytest.raises((Broken, NotNow)) as raised:
        await migrations.migrate(address)

    assert "pa" not in str(raised.value).replace("password", "")


async def test_a_database_that_does_not_answer_may_be_tried_again() -> None:
    with pytest.raises(NotNow):
        await migrations.migrate("postgresql://nobody@127.0.0.1:9/nothing")


async def test_an_address_that_is_not_of_postgresql_is_refused() -> None:
    with pytest.raises(Broken, match="ESIMHOOKS_DATABASE_URL"):
        await migrations.migrate("mysql://root@127.0.0.1/esims")


def test_every_migration_has_a_number_of_its_own() -> None:
    folder = Path(migrations.__file__).parent / "migrations"

    assert len(migrations.FILES) == len(list(folder.glob("*.sql")))
