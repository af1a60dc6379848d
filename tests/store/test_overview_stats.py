"""The overview's figures find what is due and who fails however many endpoints are newer, and say where they stop."""

from datetime import UTC, datetime
from uuid import UUID

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import health, stats
from esimhooks.server.store.database import Database
from system.stored_lanes import Lane, a_lane

NEWER = 201


async def newer_endpoints(database: Database, lane: Lane, *, failures: int = 0) -> None:
    """Store many endpoints beside the lane's, made after it, whose lanes are empty."""
    ids = [new_id() for _ in range(NEWER)]
    async with database.transaction() as db:
        await db.conn.execute(
            """
            INSERT INTO endpoints (id, account_id, mode, url, retry_schedule, timeout_s, max_in_flight, enabled,
                                   created_at, updated_at)
            SELECT made, account_id, mode, url, retry_schedule, timeout_s, max_in_flight, true, now(), now()
            FROM endpoints, unnest($1::uuid[]) made WHERE id = $2
            """,
            ids,
            lane.endpoint_id,
        )
        await db.conn.execute(
            "INSERT INTO lanes (endpoint_id, account_id, failures) SELECT made, $2, $3 FROM unnest($1::uuid[]) made",
            ids,
            lane.tenant.account_id,
            failures,
        )


async def fail(database: Database, lane: Lane, *, failures: int, reason: str | None = None) -> None:
    """Let the lane have failed so often, and its endpoint be disabled for that reason."""
    async with database.transaction() as db:
        await db.conn.execute("UPDATE lanes SET failures = $2 WHERE endpoint_id = $1", lane.endpoint_id, failures)
        await db.conn.execute(
            "UPDATE endpoints SET enabled = $2::text IS NULL, disabled_reason = $2 WHERE id = $1",
            lane.endpoint_id,
            reason,
        )


async def test_what_is_due_is_counted_in_every_lane_of_the_tenant(database: Database) -> None:
    lane, other = await a_lane(database, due=3), await a_lane(database, due=2)
    await newer_endpoints(database, lane)
    async with database.session() as db:
        oldest = await db.conn.fetchval("SELECT min(due_at) FROM queue WHERE endpoint_id = $1", lane.endpoint_id)
        of_one, of_other, of_all = [await stats.due(db, tenant) for tenant in (lane.tenant, other.tenant, None)]
    assert (of_one.number, of_one.oldest, of_one.more) == (3, oldest, False)
    assert of_other.number == 2
    assert (of_all.number, of_all.oldest) == (5, oldest)


async def test_what_is_due_later_is_not_due(database: Database) -> None:
    lane = await a_lane(database, due=2)
    async with database.session() as db:
        await db.conn.execute("UPDATE queue SET due_at = now() + interval '1 hour'")
        found = [await stats.due(db, tenant) for tenant in (lane.tenant, None)]
    assert [(one.number, one.oldest) for one in found] == [(0, None)] * 2


async def test_more_than_is_counted_is_reported(database: Database) -> None:
    lane = await a_lane(database, due=3)
    async with database.session() as db:
        found = [await stats.due(db, tenant, limit=limit) for tenant in (lane.tenant, None) for limit in (2, 3)]
    assert [(one.number, one.more) for one in found] == [(2, True), (3, False)] * 2


async def unhealthy(database: Database, tenant: Tenant | None, *, limit: int = 300) -> list[UUID]:
    async with database.session() as db:
        found = await health.unhealthy(db, tenant, now=datetime.now(UTC), limit=limit)
    return [one.endpoint_id for one in found]


async def test_an_endpoint_that_fails_or_was_given_up_is_found_behind_many_newer_ones(database: Database) -> None:
    failing, gone = await a_lane(database, due=0), await a_lane(database, due=0)
    await fail(database, failing, failures=4)
    await fail(database, gone, failures=0, reason="gone")
    await newer_endpoints(database, failing)
    assert await unhealthy(database, failing.tenant) == [failing.endpoint_id]
    assert await unhealthy(database, None) == [failing.endpoint_id, gone.endpoint_id]


async def test_of_many_that_fail_the_one_that_was_given_up_lately_and_those_that_fail_longest_come_first(
    database: Database,
) -> None:
    lane, gone = await a_lane(database, due=0), await a_lane(database, due=0)
    await fail(database, lane, failures=9)
    await newer_endpoints(database, lane, failures=1)
    await fail(database, gone, failures=0, reason="failing")
    async with database.session() as db:
        await db.conn.execute(
            "UPDATE lanes SET failing_since = now() - interval '1 h' WHERE endpoint_id = $1", lane.endpoint_id
        )
        await db.conn.execute("UPDATE endpoints SET switched_at = now() WHERE id = $1", gone.endpoint_id)
    assert await unhealthy(database, None, limit=2) == [gone.endpoint_id, lane.endpoint_id]


async def test_what_is_retried_makes_an_endpoint_fail_and_what_a_person_disabled_is_no_trouble(
    database: Database,
) -> None:
    retrying, disabled = await a_lane(database, due=3), await a_lane(database, due=1)
    await fail(database, disabled, failures=4, reason="manual")
    assert await unhealthy(database, None) == []
    async with database.session() as db:
        await db.conn.execute("UPDATE queue SET attempts_this_round = 1 WHERE endpoint_id = $1", retrying.endpoint_id)
        [found] = await health.unhealthy(db, None, now=datetime.now(UTC), limit=9)
        states = await health.states(db)
    assert (found.health.state, found.health.facts.retrying, found.health.facts.waiting) == ("failing", 3, 3)
    assert {state.value: number for state, number in states.items() if number} == {"failing": 1, "disabled": 1}
