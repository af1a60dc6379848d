"""400 days of history on a server with PostgreSQL's default of locks: a node serves beside them, drops them, starts again."""

import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from api import Api, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.store import migrate as migrations
from esimhooks.server.store.embedded import EmbeddedPostgres
from esimhooks.server.store.partitions import TABLES, partition_name
from receiver import Receiver
from upstream import Shop

pytestmark = [
    pytest.mark.slow(reason="makes a server of its own with 1 600 tables"),
    pytest.mark.timeout(120),
]
DAYS = 400
A_TRANSACTION = 10
KEPT_DAYS = 20


@pytest.fixture
async def old() -> AsyncIterator[str]:
    """The address of a database with partitions of 400 days, on a server with the usual number of locks."""
    with tempfile.TemporaryDirectory(prefix="esimhooks-tests-") as folder:
        embedded = EmbeddedPostgres(Path(folder))
        dsn = embedded.start()
        conn = await asyncpg.connect(dsn)
        await conn.execute("ALTER SYSTEM SET max_locks_per_transaction = 64")
        await conn.close()
        embedded.stop()
        dsn = embedded.start()
        await migrations.migrate(dsn)
        await _make_days(dsn)
        yield dsn
        embedded.stop()


async def _make_days(dsn: str) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=behind) for behind in range(DAYS)]
    conn = await asyncpg.connect(dsn)
    assert await conn.fetchval("SHOW max_locks_per_transaction") == "64"
    for first in range(0, DAYS, A_TRANSACTION):
        made = [
            f"CREATE TABLE {partition_name(table, day)} PARTITION OF {table} "
            f"FOR VALUES FROM ('{first_id_of(day)}') TO ('{first_id_of(day + timedelta(days=1))}')"
            for day in days[first : first + A_TRANSACTION]
            for table in TABLES
        ]
        await conn.execute("; ".join(made))
    await conn.close()


async def test_a_node_serves_drops_and_starts_with_a_long_history(
    old: str, settings: Settings, receiver: Receiver
) -> None:
    keeping = settings.model_copy(update={"database_url": SecretStr(old), "retention_days": DAYS})
    async with running(keeping) as node, Api(node.url, node.admin_key) as operator:
        shop = await _an_event_arrives(operator, receiver, 1)

        async def is_delivered() -> bool:
            return [one["status"] for one in (await operator.get(f"/v1/deliveries?{shop}"))["data"]] == ["delivered"]

        await eventually(is_delivered)

    dropping = settings.model_copy(update={"database_url": SecretStr(old), "retention_days": KEPT_DAYS})
    async with running(dropping) as node, Api(node.url, node.admin_key) as operator:
        await _an_event_arrives(operator, receiver, 2)
        await eventually(lambda: _has_few_tables(old), within_s=90)
        await _an_event_arrives(operator, receiver, 3)

    async with running(keeping) as node, Api(node.url, node.admin_key) as operator:
        await _an_event_arrives(operator, receiver, 4)
        assert len((await operator.get(f"/v1/events?{shop}"))["data"]) == 1


async def _an_event_arrives(operator: Api, receiver: Receiver, number: int) -> str:
    """Have an event of a new account arrive; return the query that names the account."""
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await Shop(operator, merchant.account).update({"transactionId": "t-1", "esimStatus": "CREATED"})
    await receiver.wait_for(number, timeout=60)
    return f"account={merchant.account}&mode=test"


async def _has_few_tables(dsn: str) -> bool:
    conn = await asyncpg.connect(dsn)
    count: int = await conn.fetchval("SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'")
    await conn.close()
    return count < (KEPT_DAYS + 20) * len(TABLES)
