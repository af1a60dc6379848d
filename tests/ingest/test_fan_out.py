"""Events for many endpoints: their deliveries are made after the commit, once each, and go on after a crash."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from api import Api, Json, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, first_id_of, new_id, parse_id
from esimhooks.server.ingest.fan_out import MAX_TENANTS, STEP_DELIVERIES, FanOuts
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store import fan_outs
from esimhooks.server.store.batch_reads import MAX_INLINE_ENDPOINTS
from esimhooks.server.store.database import Database
from esimhooks.server.store.endpoints import find, insert
from esimhooks.server.store.subscriptions import of_tenants
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode
from receiver import Receiver
from system.stored_jobs import a_worker
from upstream import Shop, a_shop

ENDPOINTS = 23


async def endpoints(shop: Shop, receiver: Receiver) -> None:
    for number in range(ENDPOINTS):
        url = receiver.url(f"/{number}")
        await shop.operator.post(f"/v1/endpoints?account={shop.account}&mode=test", {"url": url})


async def deliveries(database: Database) -> int:
    async with database.session() as db:
        count: int = await db.conn.fetchval("SELECT count(*) FROM deliveries")
        return count


async def test_every_endpoint_of_many_gets_every_event_once(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    shop = await a_shop(operator)
    await endpoints(shop, receiver)

    await shop.update(*[{"transactionId": f"t-{index}", "esimStatus": "CREATED"} for index in range(5)])

    async def all_made() -> bool:
        return await deliveries(database) == 5 * ENDPOINTS

    await eventually(all_made)
    await receiver.wait_for(5 * ENDPOINTS)
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM fan_outs") == 0
        twice = "SELECT count(*) FROM (SELECT FROM deliveries GROUP BY event_id, endpoint_id HAVING count(*) > 1) d"
        assert await db.conn.fetchval(twice) == 0


@pytest.mark.slow(reason="starts two nodes one after the other")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [3, ENDPOINTS], ids=["in the commit", "in steps"])
async def test_an_endpoint_that_is_disabled_after_an_event_gets_a_delivery_that_waits(
    settings: Settings, receiver: Receiver, database: Database, number: int
) -> None:
    without_fan_out = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with running(without_fan_out) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator)
        where = f"account={shop.account}&mode=test"
        made = [await operator.post(f"/v1/endpoints?{where}", {"url": receiver.url(f"/{n}")}) for n in range(number)]
        before, after = made[0]["id"], made[1]["id"]
        await operator.post(f"/v1/endpoints/{before}/disable?{where}", {}, status=200)
        await shop.update({"transactionId": "t-1", "esimStatus": "CREATED"})
        await operator.post(f"/v1/endpoints/{after}/disable?{where}", {}, status=200)

    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        await receiver.wait_for(number - 2)

        async def all_made() -> bool:
            return await deliveries(database) == number - 1

        await eventually(all_made)

        async def waiting() -> list[str]:
            found = (await operator.get(f"/v1/deliveries?{where}&status=pending"))["data"]
            return [one["endpoint"] for one in found]

        async def only_one_waits() -> bool:
            return await waiting() == [after]

        await eventually(only_one_waits)


@pytest.mark.slow(reason="starts two nodes one after the other")
@pytest.mark.timeout(60)
async def test_a_fan_out_goes_on_at_another_node(settings: Settings, receiver: Receiver, database: Database) -> None:
    without_scheduler = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with running(without_scheduler) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator)
        await endpoints(shop, receiver)
        await shop.update({"transactionId": "t-1", "esimStatus": "CREATED"})
    assert await deliveries(database) == 0

    async with running(settings):
        await receiver.wait_for(ENDPOINTS)

    assert await deliveries(database) == ENDPOINTS


@pytest.mark.slow(reason="makes an event for many endpoints")
@pytest.mark.timeout(60)
async def test_what_is_sent_again_while_deliveries_are_being_made_is_not_sent_twice(
    settings: Settings, receiver: Receiver, database: Database
) -> None:
    without_fan_out = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with running(without_fan_out) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator)
        await endpoints(shop, receiver)
        await shop.update({"transactionId": "t-1", "esimStatus": "CREATED"})
        where = f"account={shop.account}&mode=test"
        [event] = (await operator.get(f"/v1/events?{where}"))["data"]
        endpoint = (await operator.get(f"/v1/endpoints?{where}"))["data"][0]["id"]
        jobs = a_worker(database)

        resent = await operator.call("POST", f"/v1/events/{event['id']}/resend?{where}", {"endpoint": endpoint})
        missed: Json = {"from": "2020-01-01T00:00:00Z", "statuses": ["never"]}
        began = await operator.call("POST", f"/v1/endpoints/{endpoint}/recover?{where}", missed)
        await jobs.process_due_recoveries()
        await FanOuts(database, due=Wake()).process_due()
        async with database.session() as db:
            await db.conn.execute("UPDATE jobs SET due_at = now()")
        await jobs.process_due_recoveries()
        recovery = await operator.get(f"/v1/endpoints/{endpoint}/recoveries/{began.body['id']}?{where}")

    assert (resent.status, began.status) == (409, 202)
    assert (recovery["seen"], recovery["sent"], recovery["finishedAt"] is None) == (1, 0, False)
    assert await deliveries(database) == ENDPOINTS


async def test_an_endpoint_made_by_a_node_whose_clock_is_ahead_misses_nothing(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    shop = await a_shop(operator)
    await endpoints(shop, receiver)
    tenant = Tenant(parse_id(Prefix.ACCOUNT, shop.account), Mode.TEST)
    async with database.transaction() as db:
        [one, *_] = (await of_tenants(db, [tenant]))[tenant]
        known = await find(db, tenant, one.endpoint_id)
        assert known is not None
        ahead = first_id_of(datetime.now(UTC) + timedelta(minutes=1))
        await insert(db, replace(known, id=ahead, url=receiver.url("/ahead")), secret="whsec_" + "A" * 43 + "=")

    await shop.update({"transactionId": "t-1", "esimStatus": "CREATED"})

    received = await receiver.wait_for(ENDPOINTS + 1)
    assert [one.path for one in received].count("/ahead") == 1


async def test_an_endpoint_made_after_an_event_does_not_get_it(
    settings: Settings, receiver: Receiver, database: Database
) -> None:
    without_scheduler = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with running(without_scheduler) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator)
        await endpoints(shop, receiver)
        await shop.update({"transactionId": "t-1", "esimStatus": "CREATED"})
        where = f"/v1/endpoints?account={shop.account}&mode=test"
        await operator.post(where, {"url": receiver.url("/later")})

    async with running(settings):
        received = await receiver.wait_for(ENDPOINTS)

    assert "/later" not in {one.path for one in received}
    assert await deliveries(database) == ENDPOINTS


async def test_tenants_whose_turn_comes_late_are_served_while_others_have_work_without_end(database: Database) -> None:
    busy = [Tenant(UUID(int=number), Mode.LIVE) for number in range(1, MAX_TENANTS + 1)]
    late = Tenant(UUID(int=MAX_TENANTS + 1), Mode.LIVE)
    async with database.transaction() as db:
        await db.conn.executemany(
            "INSERT INTO fan_outs (event_id, account_id, mode, event_type, position) VALUES ($1, $2, $3, $4, 1)",
            [(new_id(), one.account_id, one.mode, EventType.CREATED) for one in (*busy, late)],
        )
    fan_out = FanOuts(database, due=Wake())

    async with database.transaction() as other_node:
        for tenant in busy:
            assert await fan_outs.claim(other_node, tenant, limit=1)
        pauses = [await fan_out.process_due() for _ in range(3)]

    async with database.session() as db:
        left = await db.conn.fetch("SELECT account_id FROM fan_outs")
    assert {row["account_id"] for row in left} == {one.account_id for one in busy}
    assert max(pauses) < 1


async def test_more_endpoints_than_a_step_makes_get_every_event_once(settings: Settings, database: Database) -> None:
    without_scheduler = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with running(without_scheduler) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator)
        first = await operator.post(f"/v1/endpoints?account={shop.account}&mode=test", {"url": "https://127.0.0.1/"})
        tenant = Tenant(parse_id(Prefix.ACCOUNT, shop.account), Mode.TEST)
        async with database.transaction() as db:
            known = await find(db, tenant, parse_id(Prefix.ENDPOINT, first["id"]))
            assert known is not None
            for _ in range(2 * STEP_DELIVERIES):
                await insert(db, replace(known, id=new_id()), secret="whsec_" + "A" * 43 + "=")
        await shop.update(*[{"transactionId": f"t-{index}", "esimStatus": "CREATED"} for index in range(2)])

    made: list[int] = []
    while not made or made[-1] < 2 * (2 * STEP_DELIVERIES + 1):
        before = made[-1] if made else 0
        await FanOuts(database, due=Wake()).process_due()  # each goes on where another has stopped
        made.append(await deliveries(database))
        assert before < made[-1] <= before + STEP_DELIVERIES

    assert made[-1] == 2 * (2 * STEP_DELIVERIES + 1)
    async with database.session() as db:
        assert (
            await db.conn.fetchval("SELECT count(*) FROM (SELECT DISTINCT event_id, endpoint_id FROM deliveries) d")
            == made[-1]
        )


async def test_for_few_endpoints_the_deliveries_are_made_with_the_event(
    settings: Settings, receiver: Receiver, database: Database
) -> None:
    without_scheduler = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with running(without_scheduler) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator)
        for number in range(MAX_INLINE_ENDPOINTS):
            url = receiver.url(f"/{number}")
            await operator.post(f"/v1/endpoints?account={shop.account}&mode=test", {"url": url})

        await shop.update({"transactionId": "t-1", "esimStatus": "CREATED"})

    assert await deliveries(database) == MAX_INLINE_ENDPOINTS
