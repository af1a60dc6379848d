"""A day goes by, midnight in it, while somebody reads a report and a dump runs: no delivery waits for them."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import asyncpg
import pytest

from api import Api, a_merchant
from esimhooks.server.jobs.retention import Retention
from esimhooks.server.store.database import Database
from esimhooks.server.store.dump import dump
from esimhooks.server.store.partitions import TABLES, ensure_partitions
from patience import patience_s
from receiver import Receiver
from system.sent_webhooks import an_endpoint, an_event

HOURS = (0, 12, 24, 25)
LATEST_S = 1.0
"""Deliveries may be so much later than without a reader ("PostgreSQL as people run it")."""


@pytest.mark.slow(reason="moves the clock through a day beside deliveries")
@pytest.mark.timeout(60)
async def test_no_delivery_is_late_at_midnight_beside_a_report_and_a_dump(
    operator: Api, receiver: Receiver, database: Database, migrated: str, tmp_path: Path
) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as api:
        await an_endpoint(api, receiver.url())
        usual = await _latest(api, receiver, asyncio.to_thread(dump, migrated, tmp_path / "dump"))
        reader = await asyncpg.connect(migrated)
        report = reader.transaction()
        await report.start()
        for table in TABLES:
            await reader.fetchval(f"SELECT count(*) FROM {table}")
        over = asyncio.Event()
        dumping = asyncio.create_task(_dumps(migrated, tmp_path / "dump", over))

        late = await _latest(api, receiver, _a_day(database))

        over.set()
        await dumping
        await report.rollback()
        await reader.close()

    assert late < usual + LATEST_S


async def _a_day(database: Database) -> None:
    """Make and drop partitions at hours of a day that begins now, in which yesterday ends to be kept."""
    began = datetime.now(UTC)
    for hour in HOURS:
        moved = began + timedelta(hours=hour)
        await ensure_partitions(database, now=moved)
        await Retention(database, days=1, audit_days=1, clock=partial(_the_time, moved)).drop_old_days()


def _the_time(moved: datetime) -> datetime:
    return moved


async def _dumps(dsn: str, file: Path, until: asyncio.Event) -> None:
    """Dump the database again and again."""
    while not until.is_set():
        await asyncio.to_thread(dump, dsn, file)


async def _latest(merchant: Api, receiver: Receiver, meanwhile: Awaitable[object]) -> float:
    """Send events one after the other until something is done; return the longest that one took to arrive, in seconds."""
    done, longest = asyncio.ensure_future(meanwhile), 0.0
    while not done.done():
        began, so_far = monotonic(), len(receiver.received)
        await an_event(merchant)
        await receiver.wait_for(so_far + 1, timeout=patience_s())
        longest = max(longest, monotonic() - began)
    await done
    return longest
