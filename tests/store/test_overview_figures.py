"""The overview's figures find what is due and who fails however many endpoints are newer, and say where they stop."""

from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import figures
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


async def test_what_is_due_is_counted_in_every_lane_of_whom_it_is_asked_for(database: Database) -> None:
    lane, other = await a_lane(database, due=3), await a_lane(database, due=2)
    await newer_endpoints(database, lane)
    async with database.session() as db:
        oldest = await db.conn.fetchval("SELECT min(due_at) FROM queue WHERE endpoint_id = $1", lane.endpoint_id)
        of_one, of_other, of_all = [await figures.due(db, whose) for whose in (lane.tenant, other.tenant, None)]
    assert (of_one.number, of_one.oldest, of_one.more) == (3, oldest, False)
    assert of_other.number == 2
    assert (of_all.number, of_all.oldest) == (5, oldest)


async def test_what_is_due_later_is_not_due(database: Database) -> None:
    lane = await a_lane(database, due=2)
    async with database.session() as db:
        await db.conn.execute("UPDATE queue SET due_at = now() + interval '1 hour'")
        found = [await figures.due(db, whose) for whose in (lane.tenant, None)]
    assert [(one.number, one.oldest) for one in found] == [(0, None)] * 2


async def test_more_than_is_counted_is_told(database: Database) -> None:
    lane = await a_lane(database, due=3)
    async with database.session() as db:
        found = [await figures.due(db, whose, most=most) for whose in (lane.tenant, None) for most in (2, 3)]
    assert [(one.number, one.more) for one in found] == [(2, True), (3, False)] * 2


async def test_an_endpoint_that_fails_or_was_given_up_is_found_behind_many_newer_ones(database: Database) -> None:
    failing, gone = await a_lane(database, due=0), await a_lane(database, due=0)
    await fail(database, failing, failures=4)
    await fail(database, gone, failures=0, reason="gone")
    await newer_endpoints(database, failing)
    async with database.session() as db:
        of_one, _ = await figures.failing(db, failing.tenant)
        of_all, more = await figures.failing(db, None)
    assert [(one.endpoint_id, one.failures) for one in of_one] == [(failing.endpoint_id, 4)]
    assert [one.endpoint_id for one in of_all] == [gone.endpoint_id, failing.endpoint_id]
    assert not more


async def test_of_many_that_fail_those_that_fail_most_are_told_and_that_there_are_more(database: Database) -> None:
    lane = await a_lane(database, due=0)
    await fail(database, lane, failures=9)
    await newer_endpoints(database, lane, failures=1)
    async with database.session() as db:
        found, more = await figures.failing(db, lane.tenant)
    assert (found[0].endpoint_id, len(found), more) == (lane.endpoint_id, figures.MAX_FAILING, True)
