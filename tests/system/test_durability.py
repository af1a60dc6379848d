"""An answer goes out after its commit has reached the disk (product, promise 1), shown by PostgreSQL's own positions.

`kill -9` cannot show it: what was written and not flushed survives that. So each answer is compared with how far the
write-ahead log has been flushed at that time.
"""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from api import Api, a_merchant
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.domain.errors import Broken
from esimhooks.server.store import migrate as migrations

pytestmark = [
    pytest.mark.slow(reason="makes a database of its own and starts nodes"),
    pytest.mark.timeout(60),
]

ANSWERS = 30
OWN = "durability"


@pytest.fixture
async def own_database(postgres: str) -> AsyncIterator[str]:
    """The address of a migrated database whose settings a test may spoil."""
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {OWN}")
    address = urlsplit(postgres)._replace(path=f"/{OWN}").geturl()
    await migrations.migrate(address)
    yield address
    await admin.execute(f"DROP DATABASE {OWN} WITH (FORCE)")
    await admin.execute("ALTER SYSTEM RESET wal_writer_delay")
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()


async def test_every_answer_comes_after_its_commit_was_flushed_to_disk(own_database: str, settings: Settings) -> None:
    node = settings.model_copy(update={"database_url": SecretStr(own_database), "roles": frozenset({Role.API})})

    assert await _answers_before_the_flush(node, own_database) == 0


async def test_the_same_check_finds_answers_that_come_before_the_flush(own_database: str, settings: Settings) -> None:
    await _switch_off_synchronous_commit(own_database)
    careless = settings.model_copy(
        update={
            "database_url": SecretStr(own_database),
            "roles": frozenset({Role.API}),
            "allow_unsafe_database": True,
        }
    )

    assert await _answers_before_the_flush(careless, own_database) > 0


async def test_a_server_does_not_start_on_a_database_that_may_lose_commits(
    own_database: str, settings: Settings
) -> None:
    await _switch_off_synchronous_commit(own_database)
    node = settings.model_copy(update={"database_url": SecretStr(own_database)})

    with pytest.raises(Broken, match=r"synchronous_commit = off.*could be lost.*Turn it on"):
        async with running(node):
            pass


async def _answers_before_the_flush(settings: Settings, address: str) -> int:
    """Return how many of many updates were answered while the log was not flushed beyond where each had begun."""
    early = 0
    watch = await asyncpg.connect(address)
    try:
        async with running(settings) as node, Api(node.url, node.admin_key) as operator:
            merchant = await a_merchant(operator)
            for number in range(ANSWERS):
                update = {"transactionId": f"shop-{number}", "esimStatus": "CREATED"}
                body = {"account": merchant.account, "mode": "test", "updates": [update]}
                begun_at = await watch.fetchval("SELECT pg_current_wal_insert_lsn()")
                await operator.post("/v1/updates", body, status=200)
                flushed = await watch.fetchval("SELECT pg_current_wal_flush_lsn() > $1::pg_lsn", begun_at)
                early += not flushed
    finally:
        await watch.close()
    print(f"\n{early} of {ANSWERS} answers came before the flush")
    return early


async def _switch_off_synchronous_commit(address: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f"ALTER DATABASE {OWN} SET synchronous_commit = off")
        # Otherwise the log is flushed five times a second, and on a slow machine before anybody looks.
        await connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
