"""Requery on demand: the provider is queried over real HTTP, and an event is emitted even where nothing changed."""

from aiohttp import web

from api import Api, Json
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from providers.test_esimaccess_http import serving
from upstream import Door, Shop, a_shop, allocate, an_upstream, order_ready


async def a_created_esim(operator: Api, shop: Shop, sandbox: Sandbox, base_url: str) -> tuple[str, str]:
    """Return the id and the provider's key of an eSIM that was filled."""
    upstream = await an_upstream(operator, base_url)
    purchase = Purchase(order_no="B1", transaction_id="t-1", total_bytes=1000 << 20, ending=Ending.USED)
    [key] = await sandbox.order(purchase)
    allocate(sandbox, "B1")
    order = await shop.order("t-1", orderNo="B1")
    await upstream.notify(order_ready("B1"))
    await upstream.journaled("applied")
    return order["esims"][0]["id"], key


async def test_a_requery_is_emitted_even_where_nothing_changed(operator: Api, sandbox: Sandbox) -> None:
    shop = await a_shop(operator)
    esim_id, _ = await a_created_esim(operator, shop, sandbox, sandbox.base_url)

    for _ in range(2):
        answer = await shop.requery(esim_id)
        assert (answer.status, answer.body["esim"]["id"], len(answer.body["events"])) == (200, esim_id, 2)

    assert await shop.raised() == ["created", *["usage_updated", "requeried"] * 2]
    events = await shop.events()
    assert [event["sequence"] for event in events] == [1, 2, 3, 4, 5]
    assert answer.body["events"] == [event["id"] for event in events[-2:]]
    assert "changes" not in events[-1]


async def test_a_requery_that_finds_another_status_emits_it_first(operator: Api, sandbox: Sandbox) -> None:
    shop = await a_shop(operator)
    esim_id, key = await a_created_esim(operator, shop, sandbox, sandbox.base_url)
    while (step := await sandbox.step(key)) is not None and step.name != "usage_30":
        pass

    answer = await shop.requery(esim_id)

    assert (answer.status, answer.body["outcome"]) == (200, "applied")
    assert await shop.raised() == ["created", "activated", "data_updated", "usage_updated", "requeried"]
    assert (await shop.events())[2]["thresholds"] == [25]
    esim = answer.body["esim"]
    assert (esim["esimStatus"], esim["smdpStatus"], esim["dataUsage"]) == ("IN_USE", "ENABLED", 300)
    assert esim["lastUsageUpdate"] is not None


async def test_a_requery_while_the_provider_is_down_changes_and_emits_nothing(
    operator: Api, sandbox: Sandbox, door: Door
) -> None:
    shop = await a_shop(operator)
    esim_id, key = await a_created_esim(operator, shop, sandbox, door.base_url)
    await sandbox.step(key)
    before = await shop.esim(esim_id)
    await door.close()

    answer = await shop.requery(esim_id)

    assert (answer.status, answer.body["code"]) == (503, "TRY_AGAIN")
    assert int(answer.headers["retry-after"]) >= 1
    assert await shop.esim(esim_id) == before
    assert await shop.raised() == ["created"]


async def test_an_esim_without_a_provider_cannot_be_requeried(operator: Api) -> None:
    shop = await a_shop(operator)
    [made] = await shop.update({"transactionId": "t-1", "esimStatus": "IN_USE", "esimTranNo": "1"})

    answer = await shop.requery(made["esim"])

    assert (answer.status, answer.body["code"]) == (409, "CONFLICT")
    assert "no provider" in answer.body["detail"]


async def test_an_esim_of_a_provider_without_credentials_cannot_be_requeried(operator: Api) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)
    await shop.order("t-1", orderNo="B1")
    [result] = await shop.update({"transactionId": "t-1", "esimTranNo": "K1", "esimStatus": "IN_USE"})

    answer = await shop.requery(result["esim"])

    assert (answer.status, "no provider that can be queried" in answer.body["detail"]) == (409, True)


async def test_an_esim_that_is_not_allocated_yet_cannot_be_requeried(operator: Api, sandbox: Sandbox) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator, sandbox.base_url)
    order = await shop.order("t-1", orderNo="B1")

    answer = await shop.requery(order["esims"][0]["id"])

    assert (answer.status, "not allocated" in answer.body["detail"]) == (409, True)


async def test_an_esim_that_the_provider_has_forgotten_is_refused_with_its_reason(
    operator: Api, sandbox: Sandbox
) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator, sandbox.base_url)
    await shop.order("t-1", orderNo="B1")
    [result] = await shop.update({"transactionId": "t-1", "esimTranNo": "404", "esimStatus": "IN_USE"})

    answer = await shop.requery(result["esim"])

    assert (answer.status, "knows no eSIM 404" in answer.body["detail"]) == (409, True)


async def test_nobody_requeries_the_esim_of_another(operator: Api, sandbox: Sandbox) -> None:
    shop, other = await a_shop(operator), await a_shop(operator)
    esim_id, _ = await a_created_esim(operator, shop, sandbox, sandbox.base_url)

    answer = await other.requery(esim_id)
    live: Json = await operator.call("POST", f"/v1/esims/{esim_id}/requery?account={shop.account}&mode=live")

    assert (answer.status, live.status) == (404, 404)
    assert await shop.raised() == ["created"]


async def test_a_requery_that_is_overtaken_while_the_provider_answers_is_emitted_and_changes_nothing(
    operator: Api,
) -> None:
    shop = await a_shop(operator)
    esim: Json = {"transactionId": "t-1", "esimTranNo": "K1"}

    async def answer(_: web.Request) -> web.Response:
        await shop.update(esim | {"esimStatus": "SUSPENDED"})  # the news comes while the provider answers with what was
        answered = {"esimTranNo": "K1", "esimStatus": "IN_USE"}
        return web.json_response({"success": True, "obj": {"esimList": [answered], "pager": {"total": 1}}})

    async with serving(answer) as base_url:
        await an_upstream(operator, base_url)
        [made] = await shop.update(esim | {"esimStatus": "IN_USE", "provider": "upstream"})

        requeried = await shop.requery(made["esim"])

    assert (requeried.status, requeried.body["outcome"]) == (200, "stale")
    assert requeried.body["esim"]["esimStatus"] == "SUSPENDED"
    assert await shop.raised() == ["activated", "suspended", "usage_updated", "requeried"]


async def test_usage_that_the_provider_reports_of_another_esim_is_not_taken_for_that_of_the_queried_one(
    operator: Api,
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("usage/query"):
            usage = {"esimTranNo": "K2", "dataUsage": 900 << 20, "totalData": 1000 << 20}
            return web.json_response({"success": True, "obj": {"esimUsageList": [usage]}})
        answered = {"esimTranNo": "K1", "esimStatus": "IN_USE", "totalVolume": 1000 << 20, "orderUsage": 100 << 20}
        return web.json_response({"success": True, "obj": {"esimList": [answered], "pager": {"total": 1}}})

    shop = await a_shop(operator)
    async with serving(answer) as base_url:
        await an_upstream(operator, base_url)
        [made] = await shop.update(
            {"transactionId": "t-1", "esimTranNo": "K1", "esimStatus": "IN_USE", "provider": "upstream"}
        )

        requeried = await shop.requery(made["esim"])

    assert (requeried.body["esim"]["dataUsage"], requeried.body["esim"]["totalVolume"]) == (100, 1000)
