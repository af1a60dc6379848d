"""What the product promises (spec 1), one test for each promise that is about intake and delivery, over real HTTP."""

import asyncio

import pytest

from api import Api, Json, Merchant, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from receiver import Receiver, status
from upstream import Shop, a_shop, an_upstream, esim_status


async def deliveries(operator: Api, account: str, *, finished: int) -> list[Json]:
    """Return an account's deliveries as soon as so many are finished."""

    async def found() -> list[Json]:
        rows = (await operator.get(f"/v1/deliveries?account={account}&mode=test&limit=100"))["data"]
        return rows if sum(row["status"] != "pending" for row in rows) == finished else []

    rows: list[Json] = await eventually(found)
    return rows


async def an_endpoint(operator: Api, merchant: Merchant, url: str, **fields: Json) -> str:
    async with operator.as_key(merchant.key) as api:
        made = await api.post("/v1/endpoints", {"url": url} | fields)
    endpoint: str = made["id"]
    return endpoint


@pytest.mark.slow(reason="starts two nodes one after the other")
@pytest.mark.timeout(30)
async def test_promise_1_what_was_answered_2xx_is_there_with_events_and_deliveries_when_the_node_is_gone(
    settings: Settings, receiver: Receiver
) -> None:
    receiver.answer("/hook", status=500)
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator, webhook_url=receiver.url())
        results = await shop.update(*[{"transactionId": f"t-{n}", "esimStatus": "CREATED"} for n in range(5)])

    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        shop = Shop(operator, shop.account)
        raised = [event_id for result in results for event_id in result["events"]]
        assert [event["id"] for event in await shop.events()] == raised
        rows = (await operator.get(f"/v1/deliveries?account={shop.account}&mode=test"))["data"]
        assert {(row["event"], row["status"]) for row in rows} == {(event_id, "pending") for event_id in raised}
        journal = (await operator.get("/v1/notifications?source=updates"))["data"]
        assert [entry["outcome"] for entry in journal] == ["applied"] * 5


async def test_promise_2_a_notification_creates_its_events_once_however_often_it_is_repeated(
    operator: Api, receiver: Receiver
) -> None:
    shop, upstream = await a_shop(operator, webhook_url=receiver.url()), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1")
    notification = esim_status("K1", "IN_USE", transactionId="t-1") | {
        "notifyId": "n-1",
        "eventGenerateTime": "2026-03-01T10:00:00Z",
    }

    answers = await asyncio.gather(*[upstream.notify(notification) for _ in range(20)])

    outcomes = sorted(answer.body["outcome"] for answer in answers)
    assert outcomes == ["applied"] + ["duplicate"] * 19
    assert await shop.raised() == ["activated"]
    await deliveries(operator, shop.account, finished=1)
    assert len(receiver.received) == 1


async def test_promise_2_the_same_id_with_other_content_is_a_duplicate_too_and_says_so(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1")
    own_id = {"notifyId": "n-1"}
    await upstream.notify(esim_status("K1", "IN_USE", transactionId="t-1") | own_id)

    answer = await upstream.notify(esim_status("K1", "SUSPENDED", transactionId="t-1") | own_id)

    assert (answer.body["outcome"], "different content" in answer.body["detail"]) == ("duplicate", True)
    assert await shop.raised() == ["activated"]


async def test_promise_3_every_delivery_ends_in_one_visible_state(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator)
    receiver.answer("/fails", status=500)
    receiver.answer("/gone", status=410)
    receiver.answer("/later", status=500)
    endpoints = {
        await an_endpoint(operator, merchant, receiver.url("/takes")): "delivered",
        await an_endpoint(operator, merchant, receiver.url("/fails"), retrySchedule=[0, 0]): "failed",
        await an_endpoint(operator, merchant, receiver.url("/gone")): "stopped",
        await an_endpoint(operator, merchant, receiver.url("/later"), retrySchedule=[0, 3600]): "cancelled",
    }

    await Shop(operator, merchant.account).update({"transactionId": "t-1", "esimStatus": "CREATED"})
    await deliveries(operator, merchant.account, finished=3)
    later = next(endpoint for endpoint, end in endpoints.items() if end == "cancelled")
    async with operator.as_key(merchant.key) as api:
        assert (await api.call("DELETE", f"/v1/endpoints/{later}")).status == 204

    rows = await deliveries(operator, merchant.account, finished=4)
    assert {row["endpoint"]: row["status"] for row in rows} == endpoints
    assert all(row["finishedAt"] is not None and row["nextAttemptAt"] is None for row in rows)


async def test_promise_4_what_failed_is_sent_again_under_the_same_id_with_the_same_bytes(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator)
    await an_endpoint(operator, merchant, receiver.url(), retrySchedule=[0, 0, 0])
    receiver.answer(script=[status(500), status(429), status(200)])

    await Shop(operator, merchant.account).update({"transactionId": "t-1", "esimStatus": "CREATED"})

    first, second, third = await receiver.wait_for(3)
    [row] = await deliveries(operator, merchant.account, finished=1)
    assert (row["status"], row["attemptCount"]) == ("delivered", 3)
    ids = {one.headers["webhook-id"] for one in (first, second, third)}
    assert ids == {row["event"]}
    assert first.body == second.body == third.body


@pytest.mark.slow(reason="waits for a schedule of two seconds")
@pytest.mark.timeout(30)
async def test_promise_5_no_attempt_comes_earlier_than_the_schedule_says(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator)
    await an_endpoint(operator, merchant, receiver.url(), retrySchedule=[0, 1, 1])
    receiver.answer(script=[status(500), status(500), status(200)])

    await Shop(operator, merchant.account).update({"transactionId": "t-1", "esimStatus": "CREATED"})

    first, second, third = await receiver.wait_for(3)
    assert second.at - first.at >= 1
    assert third.at - second.at >= 1
