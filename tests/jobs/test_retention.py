"""Retention: whole days of history go once they are old enough, and never while something in them waits."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from esimhooks.server.domain.audit import Action, Actor, ActorKind, AuditEntry, AuditFilter
from esimhooks.server.domain.ids import first_id_of, new_id
from esimhooks.server.jobs.retention import Retention
from esimhooks.server.store import audit
from esimhooks.server.store.database import Database
from esimhooks.server.store.partitions import TABLES, ensure_partitions, partition_name
from system.stored_lanes import a_lane

NOON = datetime(2031, 5, 20, 12, tzinfo=UTC)
DAYS = 30


def day(number: int) -> datetime:
    """Return noon of the day so many days before the present of these tests."""
    return NOON - timedelta(days=number)


async def history_of(database: Database, numbers: Sequence[int]) -> None:
    """Make the partitions of days; those around each are made along."""
    for number in numbers:
        assert await ensure_partitions(database, now=day(number)) == []


async def kept(database: Database, number: int) -> list[str]:
    async with database.session() as db:
        rows = await db.conn.fetch("SELECT relname FROM pg_class WHERE relispartition")
    present = {row["relname"] for row in rows}
    return [table for table in TABLES if partition_name(table, day(number)) in present]


async def waits(database: Database, made_at: datetime) -> UUID:
    """Put a delivery into the queue whose event was made at this time."""
    event_id = first_id_of(made_at)
    async with database.session() as db:
        await db.conn.execute(
            "INSERT INTO queue (delivery_id, account_id, endpoint_id, event_id, event_type, due_at) "
            "VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), $1, 'esim.created', now())",
            event_id,
        )
    return event_id


@pytest.fixture
def retention(database: Database) -> Retention:
    return Retention(database, days=DAYS, audit_days=400, clock=lambda: NOON)


async def test_days_that_ended_before_the_retention_go_and_younger_ones_stay(
    database: Database, retention: Retention
) -> None:
    await history_of(database, [DAYS + 1, DAYS, 0])

    await retention.drop_old_days()

    assert await kept(database, DAYS + 1) == []
    assert await kept(database, DAYS) == list(TABLES)
    assert await kept(database, 0) == list(TABLES)


async def test_a_pending_delivery_keeps_the_day_of_its_event_and_all_later_ones(
    database: Database, retention: Retention
) -> None:
    await history_of(database, [DAYS + 12, DAYS + 10, DAYS + 5])
    await waits(database, day(DAYS + 10))

    await retention.drop_old_days()

    assert await kept(database, DAYS + 12) == []
    assert await kept(database, DAYS + 10) == list(TABLES)
    assert await kept(database, DAYS + 5) == list(TABLES)


async def test_a_notification_that_waits_for_its_provider_keeps_its_day(
    database: Database, retention: Retention
) -> None:
    await history_of(database, [DAYS + 10, DAYS + 5])
    async with database.session() as db:
        await db.conn.execute(
            "INSERT INTO backlog (notification_id, source, due_at) VALUES ($1, 'upstream', now())",
            first_id_of(day(DAYS + 5)),
        )

    await retention.drop_old_days()

    assert await kept(database, DAYS + 10) == []
    assert await kept(database, DAYS + 5) == list(TABLES)


async def test_what_has_waited_in_vain_for_its_esim_goes_with_its_day(database: Database, retention: Retention) -> None:
    await history_of(database, [DAYS + 5])
    async with database.session() as db:
        for made_at in (day(DAYS + 5), day(1)):
            await db.conn.execute(
                "INSERT INTO unmatched_notifications (notification_id, source) VALUES ($1, 'upstream')",
                first_id_of(made_at),
            )

    await retention.drop_old_days()

    async with database.session() as db:
        left = await db.conn.fetch("SELECT notification_id FROM unmatched_notifications")
    assert [row["notification_id"] for row in left] == [first_id_of(day(1))]


async def test_entries_of_the_audit_log_have_a_time_of_their_own(database: Database, retention: Retention) -> None:
    async with database.session() as db:
        for made_at in (NOON - timedelta(days=401), NOON - timedelta(days=399)):
            entry = AuditEntry(
                id=first_id_of(made_at),
                account_id=None,
                mode=None,
                actor=Actor(kind=ActorKind.OPERATOR),
                action=Action.PROVIDER_PUT,
                subject="upstream",
                changes={},
            )
            await audit.insert(db, entry)

    await retention.drop_old_days()

    async with database.session() as db:
        left = await audit.page_for_operators(db, None, None, AuditFilter(), before=None, limit=9)
    assert [entry.id for entry in left] == [first_id_of(NOON - timedelta(days=399))]


async def test_background_jobs_that_ended_long_ago_go(database: Database, retention: Retention) -> None:
    ends = (day(DAYS + 1), day(DAYS - 1), None)
    for finished_at in ends:
        lane = await a_lane(database, due=0)
        async with database.session() as db:
            for kind in ("recovery", "requery"):
                await db.conn.execute(
                    "INSERT INTO jobs (id, kind, account_id, mode, filter, total, created_at, finished_at) "
                    "VALUES ($1, $2, $3, 'test', '{}', 1, $4, $5)",
                    new_id(),
                    kind,
                    lane.tenant.account_id,
                    day(DAYS + 9),
                    finished_at,
                )

    await retention.drop_old_days()

    async with database.session() as db:
        for kind in ("recovery", "requery"):
            left = await db.conn.fetch("SELECT finished_at FROM jobs WHERE kind = $1 ORDER BY finished_at", kind)
            assert [row["finished_at"] for row in left] == list(ends[1:])
