"""Which endpoints are reported as failing and as recovered, read from lanes and queue."""

from uuid import UUID

from esimhooks.server.domain.operational import EndpointFailing
from esimhooks.server.store import health
from esimhooks.server.store.database import Database
from system.stored_lanes import a_lane


async def alerts(database: Database) -> list[tuple[UUID, bool]]:
    """Return the endpoints that are reported now, and whether as failing."""
    async with database.transaction() as db:
        found = await health.claim_alerts(db, limit=9)
    return [(one.endpoint_id, isinstance(one, EndpointFailing)) for one in found]


async def retry(database: Database, endpoint_id: UUID, *, attempts: int, minutes: int) -> None:
    """Let one of the endpoint's deliveries be one that has failed so often since so many minutes."""
    async with database.session() as db:
        await db.conn.execute(
            """
            UPDATE queue SET attempts_this_round = $2, started_at = now() - make_interval(mins => $3)
            WHERE delivery_id = (SELECT delivery_id FROM queue WHERE endpoint_id = $1 LIMIT 1)
            """,
            endpoint_id,
            attempts,
            minutes,
        )


async def test_an_endpoint_that_fails_and_succeeds_by_turns_is_reported_once_and_recovers_when_nothing_is_retried(
    database: Database,
) -> None:
    lane = await a_lane(database, due=3)
    await retry(database, lane.endpoint_id, attempts=2, minutes=4)
    assert await alerts(database) == [(lane.endpoint_id, True)]
    assert await alerts(database) == []
    await retry(database, lane.endpoint_id, attempts=0, minutes=0)
    async with database.session() as db:
        await db.conn.execute("UPDATE queue SET attempts_this_round = 0")
    assert await alerts(database) == [(lane.endpoint_id, False)]
    assert await alerts(database) == []


async def test_one_failure_or_a_short_time_is_no_reason_to_report(database: Database) -> None:
    once, lately = await a_lane(database, due=1), await a_lane(database, due=1)
    await retry(database, once.endpoint_id, attempts=1, minutes=9)
    await retry(database, lately.endpoint_id, attempts=2, minutes=2)
    assert await alerts(database) == []
