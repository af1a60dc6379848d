"""Requery of many eSIMs: in the background, once each, through outages and restarts, at the providers' speed."""

import asyncio

import pytest

from api import Api, Json, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from esimhooks.server.store.database import Database
from upstream import Door, Shop, a_shop, allocate, an_upstream, moved, order_ready
from web.routes import is_field, is_problem


async def some_esims(operator: Api, shop: Shop, sandbox: Sandbox, base_url: str, *, number: int) -> list[str]:
    """Return the provider's keys of eSIMs that were bought together and filled."""
    upstream = await an_upstream(operator, base_url)
    purchase = Purchase(
        order_no="B1", transaction_id="t-1", total_bytes=1000 << 20, ending=Ending.USED, quantity=number
    )
    keys = await sandbox.order(purchase)
    allocate(sandbox, "B1")
    await shop.order("t-1", orderNo="B1", quantity=number)
    await upstream.notify(order_ready("B1"))
    await upstream.journaled("applied")
    return list(keys)


async def begun(shop: Shop, **where: Json) -> Json:
    tenant = f"account={shop.account}&mode=test"
    return await shop.operator.post(f"/v1/esims/requery?{tenant}", where, status=202)


async def state(shop: Shop, requery: Json, operator: Api | None = None) -> Json:
    tenant = f"account={shop.account}&mode=test"
    return await (operator or shop.operator).get(f"/v1/requeries/{requery['id']}?{tenant}")


async def finished(shop: Shop, requery: Json, operator: Api | None = None) -> Json:
    async def found() -> Json:
        present = await state(shop, requery, operator)
        return present if present["finishedAt"] else None

    return await eventually(found)


async def waits(shop: Shop, requery: Json) -> Json:
    async def found() -> Json:
        return (await state(shop, requery))["problem"]

    return await eventually(found)


async def test_all_that_fit_are_refreshed_once_each_and_what_changed_is_counted(
    operator: Api, sandbox: Sandbox
) -> None:
    shop = await a_shop(operator)
    keys = await some_esims(operator, shop, sandbox, sandbox.base_url, number=7)
    await shop.update({"transactionId": "t-9", "esimStatus": "CREATED"})
    while (step := await sandbox.step(keys[0])) is not None and step.name != "usage_30":
        pass

    requery = await begun(shop, status="CREATED")
    done = await finished(shop, requery)

    assert (requery["matched"], requery["done"], requery["finishedAt"]) == (7, 0, None)
    assert (done["matched"], done["done"], done["failed"], done["problem"]) == (7, 7, 0, None)
    assert (done["status"], done["iccid"]) == ("CREATED", None)
    assert done["changed"] >= 1
    requeried = [event["data"]["id"] for event in await shop.events() if event["event"] == "esim.requeried"]
    assert sorted(requeried) == sorted(esim["id"] for esim in await shop.esims(orderNo="B1"))
    [in_use] = await shop.esims(status="IN_USE")
    assert in_use["dataUsage"] == 300


async def test_a_dry_run_counts_and_queries_nobody(operator: Api, sandbox: Sandbox, door: Door) -> None:
    shop = await a_shop(operator)
    await some_esims(operator, shop, sandbox, door.base_url, number=3)
    [esim, *_] = await shop.esims()
    passed = door.passed
    path = f"/v1/esims/requery?account={shop.account}&mode=test"

    assert await operator.post(path, {"orderNo": "B1", "dryRun": True}, status=200) == {"matched": 3}
    assert await operator.post(path, {"iccid": esim["iccid"], "dryRun": True}, status=200) == {"matched": 1}
    assert door.passed == passed
    assert (await operator.get(f"/v1/requeries?account={shop.account}&mode=test"))["data"] == []


@pytest.mark.slow(reason="the loop looks for what is due every two seconds")
@pytest.mark.timeout(30)
async def test_a_provider_that_is_down_is_waited_for(
    operator: Api, sandbox: Sandbox, door: Door, database: Database
) -> None:
    shop = await a_shop(operator)
    await some_esims(operator, shop, sandbox, door.base_url, number=2)
    await door.close()
    requery = await begun(shop)
    assert "cannot be reached" in await waits(shop, requery)
    assert (await state(shop, requery))["done"] == 0
    await door.open()
    await moved(database, "jobs", "due_at")

    done = await finished(shop, requery)

    assert (done["done"], done["failed"], done["problem"]) == (2, 0, None)
    assert (await shop.raised()).count("requeried") == 2


@pytest.mark.slow(reason="the loop looks for what is due every two seconds")
@pytest.mark.timeout(30)
async def test_where_the_provider_stays_silent_the_rest_is_reported_to_have_failed(
    operator: Api, sandbox: Sandbox, door: Door, database: Database
) -> None:
    shop = await a_shop(operator)
    await some_esims(operator, shop, sandbox, door.base_url, number=3)
    await door.close()
    requery = await begun(shop)

    await waits(shop, requery)
    async with database.session() as db:  # two minutes later
        await db.conn.execute("UPDATE jobs SET waits = 6, due_at = now()")

    done = await finished(shop, requery)

    assert (done["done"], done["changed"], done["failed"]) == (3, 0, 3)
    assert "cannot be reached" in done["problem"]


async def test_an_esim_that_the_provider_does_not_know_fails_and_the_others_are_read(
    operator: Api, sandbox: Sandbox
) -> None:
    shop = await a_shop(operator)
    await some_esims(operator, shop, sandbox, sandbox.base_url, number=2)
    await shop.order("t-2", orderNo="B2")
    await shop.update({"transactionId": "t-2", "esimTranNo": "404", "esimStatus": "CREATED"})

    done = await finished(shop, await begun(shop))

    assert (done["done"], done["failed"]) == (3, 1)
    assert "knows no eSIM 404" in done["problem"]
    assert (await shop.raised()).count("requeried") == 2


async def test_an_esim_that_cannot_be_decrypted_fails_with_its_reason_and_the_others_are_read(
    operator: Api, sandbox: Sandbox, database: Database
) -> None:
    shop = await a_shop(operator)
    await some_esims(operator, shop, sandbox, sandbox.base_url, number=3)
    async with database.session() as db:
        oldest = "SELECT min(id::text)::uuid FROM esims"
        bad = await db.conn.fetchval(f"UPDATE esims SET sealed_held = '\\x00' WHERE id = ({oldest}) RETURNING id")

    done = await finished(shop, await begun(shop))

    assert (done["done"], done["failed"]) == (3, 1)
    assert done["problem"] == f"{text_of(Prefix.ESIM, bad)}: it cannot be decrypted"
    assert (await shop.raised()).count("requeried") == 2


@pytest.mark.slow(reason="starts two nodes one after the other")
@pytest.mark.timeout(30)
async def test_what_one_node_left_another_goes_on_with(
    settings: Settings, sandbox: Sandbox, door: Door, database: Database
) -> None:
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator)
        await some_esims(operator, shop, sandbox, door.base_url, number=3)
        await door.close()
        requery = await begun(shop)
        await waits(shop, requery)
    await door.open()
    async with database.session() as db:  # as a process that was killed after its first eSIM would leave it
        first = await db.conn.fetchval("SELECT min(id::text)::uuid FROM esims")
        await db.conn.execute("UPDATE jobs SET cursor = $1, done = 1, due_at = now()", first)

    async with running(settings) as node, Api(node.url, node.admin_key) as other:
        done = await finished(shop, requery, other)
        events = (await other.get(f"/v1/events?account={shop.account}&mode=test&type=esim.requeried"))["data"]

    assert (done["done"], done["failed"]) == (3, 0)
    assert len({event["data"]["id"] for event in events}) == len(events) == 2


@pytest.mark.slow(reason="starts three nodes")
@pytest.mark.timeout(30)
async def test_several_nodes_read_each_esim_once(operator: Api, sandbox: Sandbox, settings: Settings) -> None:
    shop = await a_shop(operator)
    await some_esims(operator, shop, sandbox, sandbox.base_url, number=6)
    async with running(settings), running(settings):
        await finished(shop, await begun(shop))

    assert (await shop.raised()).count("requeried") == 6


@pytest.mark.slow(reason="the loop looks for what is due every two seconds")
@pytest.mark.timeout(30)
async def test_one_at_a_time_and_it_can_be_cancelled(operator: Api, sandbox: Sandbox, door: Door) -> None:
    shop, other = await a_shop(operator), await a_shop(operator)
    await some_esims(operator, shop, sandbox, door.base_url, number=2)
    await door.close()
    tenant = f"account={shop.account}&mode=test"
    answers = await asyncio.gather(*(operator.call("POST", f"/v1/esims/requery?{tenant}", {}) for _ in range(3)))
    assert sorted(answer.status for answer in answers) == [202, 409, 409]
    [requery] = [answer.body for answer in answers if answer.status == 202]
    assert (await finished(other, await begun(other)))["matched"] == 0
    path = f"/v1/requeries/{requery['id']}"
    is_problem(await operator.call("POST", f"{path}/cancel?account={other.account}&mode=test"), 404)
    is_problem(await operator.call("GET", f"{path}?account={shop.account}&mode=live"), 404)

    ended = await operator.post(f"{path}/cancel?{tenant}", status=200)

    assert (ended["finishedAt"] is not None, ended["problem"]) == (True, "ended by a person")
    is_problem(await operator.call("POST", f"{path}/cancel?{tenant}"), 409)
    await begun(shop)
    entries = (await operator.get(f"/v1/audit?account={shop.account}&subject={requery['id']}"))["data"]
    assert [entry["action"] for entry in entries] == ["requery.cancel", "requery.begin"]


@pytest.mark.parametrize(
    ("body", "pointer"), [({"status": "GONE"}, "/status"), ({"iccid": ""}, "/iccid"), ({"nothing": 1}, "/nothing")]
)
async def test_a_filter_that_is_none_is_refused(body: Json, pointer: str, operator: Api) -> None:
    shop = await a_shop(operator)
    answer = await operator.call("POST", f"/v1/esims/requery?account={shop.account}&mode=test", body)
    is_field(answer, pointer)


async def test_for_an_account_that_is_not_there_nothing_begins(operator: Api) -> None:
    nobody = "account=acc_00000000000000000000000000&mode=test"
    is_problem(await operator.call("POST", f"/v1/esims/requery?{nobody}", {}), 404)
