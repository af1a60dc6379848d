"""What one account may have and do of what all share: beyond it the quota is named, and the operator can raise it."""

import asyncio

from api import Answer, Api, Json, Merchant, a_merchant, eventually
from receiver import Receiver
from web.routes import is_problem
from web.test_deliveries import delivery_in_status, raised
from web.test_recoveries import LONG_AGO


async def set_quotas(operator: Api, merchant: Merchant, **quotas: Json) -> Json:
    answer = await operator.call("PATCH", f"/v1/accounts/{merchant.account}", {"quotas": quotas})
    assert answer.status == 200, answer
    return answer.body["quotas"]


def is_over(answer: Answer, status: int, quota: str) -> None:
    """Check that an answer names the quota that is used up."""
    problem = is_problem(answer, status)
    assert problem["code"] == "QUOTA_EXCEEDED"
    assert [one["pointer"] for one in problem["errors"]] == [f"quota:{quota}"]
    assert ("retry-after" in answer.headers) is (status == 429)


def status_of(answer: Answer) -> int:
    return answer.status


async def test_an_account_has_the_usual_quotas_until_the_operator_says_otherwise(operator: Api) -> None:
    merchant = await a_merchant(operator, quotas={})
    usual = (await operator.get(f"/v1/accounts/{merchant.account}"))["quotas"]
    assert usual == {
        "endpoints": 50,
        "endpointHeaderBytes": 8192,
        "recoveries": 4,
        "recoveriesPerEndpoint": 1,
        "testEventsPerSecond": 10,
        "resendsPerSecond": 20,
    }

    assert await set_quotas(operator, merchant, endpoints=80, recoveries=8) == usual | {
        "endpoints": 80,
        "recoveries": 8,
    }
    assert await set_quotas(operator, merchant, recoveries=None) == usual | {"endpoints": 80}
    assert (await operator.get("/v1/accounts"))["data"][0]["quotas"]["endpoints"] == 80
    [entry, *_] = (await operator.get("/v1/audit?action=account.quotas"))["data"]
    assert entry["changes"] == {"quotas.recoveries": {"old": 8, "new": None}}
    back = await operator.call("PATCH", f"/v1/accounts/{merchant.account}", {"quotas": None})
    assert back.body["quotas"] == usual


async def test_bad_quotas_are_refused_by_name(operator: Api) -> None:
    merchant = await a_merchant(operator, quotas={})
    path = f"/v1/accounts/{merchant.account}"

    for bad in ({"endpoints": -1}, {"endpoints": 1e9}, {"endpoints": "many"}, {"horses": 1}):
        is_problem(await operator.call("PATCH", path, {"quotas": bad}), 422)


async def test_a_merchant_sees_its_quotas_and_may_not_change_them(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url(), quotas={})
    async with operator.as_key(merchant.key) as caller:
        await caller.post("/v1/endpoints", {"url": receiver.url(), "headers": {"x-shop": "12345"}})
        rows = {row["name"]: (row["limit"], row["used"]) for row in (await caller.get("/v1/quotas"))["data"]}
        is_problem(await caller.call("PATCH", f"/v1/accounts/{merchant.account}", {"quotas": {"endpoints": 9}}), 403)

    assert rows["endpoints"] == (50, 2)
    assert rows["endpointHeaderBytes"] == (8192, len("x-shop12345"))
    assert rows["resendsPerSecond"] == (20, None)


async def test_endpoints_end_at_the_quota_whoever_makes_them_and_however_many_at_once(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url(), quotas={})
    await set_quotas(operator, merchant, endpoints=3)
    async with operator.as_key(merchant.key) as caller:
        made = await asyncio.gather(*[caller.call("POST", "/v1/endpoints", {"url": receiver.url()}) for _ in range(6)])
        refused = [answer for answer in made if answer.status != 201]
        assert len(refused) == 4
        for answer in refused:
            is_over(answer, 409, "endpoints")
        assert len((await caller.get("/v1/endpoints"))["data"]) == 3
        live = f"/v1/endpoints?account={merchant.account}&mode=live"
        is_over(await operator.call("POST", live, {"url": receiver.url()}), 409, "endpoints")
        key = {"mode": "live", "name": "shop", "webhookUrl": receiver.url()}
        is_over(await operator.call("POST", f"/v1/accounts/{merchant.account}/keys", key), 409, "endpoints")

        assert (await caller.call("DELETE", f"/v1/endpoints/{merchant.endpoint}")).status == 204
        await caller.post("/v1/endpoints", {"url": receiver.url()})


async def test_headers_of_all_endpoints_together_end_at_the_quota(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, quotas={})
    long = {f"x-{number}": "v" * 2000 for number in range(4)}
    async with operator.as_key(merchant.key) as caller:
        first = await caller.post("/v1/endpoints", {"url": receiver.url(), "headers": long})
        more = {"url": receiver.url(), "headers": {"x-more": "v" * 500}}
        is_over(await caller.call("POST", "/v1/endpoints", more), 409, "endpointHeaderBytes")
        second = await caller.post("/v1/endpoints", {"url": receiver.url()})
        path = f"/v1/endpoints/{second['id']}"
        is_over(await caller.call("PATCH", path, {"headers": more["headers"]}), 409, "endpointHeaderBytes")

        smaller = await caller.call("PATCH", f"/v1/endpoints/{first['id']}", {"headers": {"x-0": None}})
        assert smaller.status == 200
        assert (await caller.call("PATCH", path, {"headers": more["headers"]})).status == 200


async def test_more_than_the_quota_is_kept_where_it_was_lowered_and_can_be_changed(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, quotas={})
    async with operator.as_key(merchant.key) as caller:
        made = await caller.post("/v1/endpoints", {"url": receiver.url(), "headers": {"x-shop": "12345"}})
        await set_quotas(operator, merchant, endpoints=0, endpointHeaderBytes=0)

        changed = await caller.call("PATCH", f"/v1/endpoints/{made['id']}", {"name": "shop"})
        is_over(await caller.call("POST", "/v1/endpoints", {"url": receiver.url()}), 409, "endpoints")

    assert (changed.status, changed.body["headers"]) == (200, {"x-shop": "12345"})


async def test_events_that_an_account_raises_itself_end_at_the_quota_and_go_on_later(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url(), quotas={})
    await set_quotas(operator, merchant, testEventsPerSecond=1)
    example = {"event": "esim.activated"}
    async with operator.as_key(merchant.key) as caller:
        to_endpoint = f"/v1/endpoints/{merchant.endpoint}/test"
        answers = [
            await caller.call("POST", "/v1/test-events", example),
            await caller.call("POST", to_endpoint, example),
        ]
        answers += await asyncio.gather(*[caller.call("POST", "/v1/test-events", example) for _ in range(10)])
        is_over(max(answers, key=status_of), 429, "testEventsPerSecond")
        assert 2 <= len([one for one in answers if one.status != 429]) < len(answers)

        async def raised_again() -> bool:
            return (await caller.call("POST", "/v1/test-events", example)).status == 201

        await eventually(raised_again)


async def test_resends_end_at_the_quota(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url(), quotas={})
    await set_quotas(operator, merchant, resendsPerSecond=1)
    async with operator.as_key(merchant.key) as caller:
        event = await raised(caller)
        delivery = await delivery_in_status(caller, event, "delivered")
        path = f"/v1/events/{event}/resend"
        answers = await asyncio.gather(*[caller.call("POST", path) for _ in range(10)])
        is_over(max(answers, key=status_of), 429, "resendsPerSecond")
        retried = await asyncio.gather(
            *[caller.call("POST", f"/v1/deliveries/{delivery['id']}/retry") for _ in range(10)]
        )
        is_over(max(retried, key=status_of), 429, "resendsPerSecond")


async def test_one_recovery_of_an_endpoint_at_a_time_and_so_many_of_an_account(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url(), quotas={})
    async with operator.as_key(merchant.key) as caller:
        await raised(caller)
        path = f"/v1/endpoints/{merchant.endpoint}/recover"
        body = {"from": LONG_AGO, "statuses": ["delivered"]}
        answers = await asyncio.gather(*[caller.call("POST", path, body) for _ in range(8)])
        is_over(max(answers, key=status_of), 409, "recoveriesPerEndpoint")
        await set_quotas(operator, merchant, recoveries=0, recoveriesPerEndpoint=9)
        is_over(await caller.call("POST", path, body), 409, "recoveries")
        assert (await caller.call("POST", path, body | {"dryRun": True})).status == 200
