"""What `make budget` measures at full size works at a small one; every page loads few bytes at any size."""

from datetime import UTC, datetime

import asyncpg
import pytest
from playwright.async_api import Browser

from api import Api
from benchmarks.budget.__main__ import LIST_MS, PAGE_KB
from benchmarks.budget.fill import Size, Writer, history_of
from benchmarks.budget.pages import loaded
from benchmarks.budget.queries import Stopwatch, queries_of
from conftest import ADMIN_KEY, ENCRYPTION_KEY
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.store.database import connect
from esimhooks.server.store.encryption import Cipher

pytestmark = pytest.mark.slow(reason="fills a database and loads every page")
SMALL = Size(esims=200, deliveries=1500, notifications=200, accounts=10)
EVERY = 40
"""Which of the many combinations are tried here."""


async def test_every_page_over_a_history_loads_few_bytes_and_every_kind_of_query_works(
    chromium: Browser, operator: Api, migrated: str
) -> None:
    conn = await asyncpg.connect(migrated)
    await Writer(conn, Cipher([ENCRYPTION_KEY]), now=datetime.now(UTC), size=SMALL).write()
    history = await history_of(conn)
    await conn.close()

    database = await connect(migrated, Cipher([ENCRYPTION_KEY]), connections=1)
    async with database.session() as db:
        watch = Stopwatch(await db.conn.fetchval("SELECT pg_backend_pid()"))
    times = [await watch.timed(query, limit_ms=LIST_MS) for query in queries_of(database, history)[::EVERY]]
    await database.close()
    parameters = f"?account={text_of(Prefix.ACCOUNT, history.tenant.account_id)}&mode=live"
    pages = await loaded(chromium, operator.url, ADMIN_KEY, parameters, times=1)

    assert all(one.worked_ms > 0 for one in times)
    assert [one for one in pages if not 20_000 < one.transferred < PAGE_KB * 1000] == []
