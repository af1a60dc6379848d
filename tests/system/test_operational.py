"""Operational events: the operator hears, by signed webhooks, what went wrong with the deliveries of merchants for good."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from api import Api, Json, Merchant, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.account import OPERATOR
from esimhooks.server.domain.errors import Broken
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.jobs.scheduler import OVERDUE_BATCH
from esimhooks.server.store import queue
from esimhooks.server.store.database import Database
from ingest.test_wrong_clocks import set_clock
from receiver import Received, Receiver

ENDPOINT, ACCOUNT = text_of(Prefix.ENDPOINT, OPERATOR.account_id), text_of(Prefix.ACCOUNT, OPERATOR.account_id)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OPERATORS = f"?account={ACCOUNT}&mode=live"

pytestmark = [pytest.mark.slow(reason="runs a node and waits for its retries"), pytest.mark.timeout(60)]


@pytest.fixture
async def ops() -> AsyncIterator[Receiver]:
    """The operator's receiver."""
    async with Receiver() as listening:
        yield listening


@pytest.fixture
def telling(settings: Settings, ops: Receiver) -> Settings:
    """Settings with an address for operational events."""
    return settings.model_copy(
        update={"operational_url": SecretStr(ops.url("/ops?token=hush")), "operational_secret": SecretStr(SECRET)}
    )


def verified(request: Received) -> Json:
    """Check the signature of a request and return its body."""
    Webhook(SECRET).verify(request.body, request.headers)
    return msgspec.json.decode(request.body)


async def raise_an_event(api: Api, merchant: Merchant) -> None:
    async with api.as_key(merchant.key) as caller:
        await caller.post("/v1/test-events", {"event": "esim.activated"})


async def test_a_delivery_that_failed_for_good_is_reported(
    telling: Settings, receiver: Receiver, ops: Receiver
) -> None:
    receiver.answer("/hook?token=hush", status=500)
    async with running(telling) as node, Api(node.url, node.admin_key) as api:
        merchant = await a_merchant(api)
        async with api.as_key(merchant.key) as caller:
            body = {"url": receiver.url("/hook?token=hush"), "name": "shop", "retrySchedule": [0]}
            endpoint = await caller.post("/v1/endpoints", body)
        await raise_an_event(api, merchant)

        [request] = await ops.wait_for(1)
        deliveries = await api.get(f"/v1/deliveries?account={merchant.account}&mode=test")

    event = verified(request)
    [delivery] = deliveries["data"]
    assert request.path == "/ops?token=hush"
    assert event["event"] == request.headers["webhook-event"] == "delivery.failed"
    assert event["data"] == {
        "account": merchant.account,
        "mode": "test",
        "endpoint": endpoint["id"],
        "endpointName": "shop",
        "host": "127.0.0.1",
        "delivery": delivery["id"],
        "event": delivery["event"],
        "eventType": "esim.activated",
        "attempts": 1,
        "outcome": "5xx",
        "statusCode": 500,
    } | ({"error": event["data"]["error"]} if "error" in event["data"] else {})


async def test_an_endpoint_that_is_disabled_is_reported_with_the_reason(
    telling: Settings, receiver: Receiver, ops: Receiver, database: Database
) -> None:
    async with running(telling) as node, Api(node.url, node.admin_key) as api:
        merchant = await a_merchant(api, webhook_url=receiver.url())
        tenant = f"?account={merchant.account}&mode=test"
        await api.post(f"/v1/endpoints/{merchant.endpoint}/disable{tenant}", status=200)
        await ops.wait_for(1)
        await api.post(f"/v1/endpoints/{merchant.endpoint}/enable{tenant}", status=200)
        receiver.answer("/hook", status=410)
        await raise_an_event(api, merchant)
        await ops.wait_for(2)
        await api.post(f"/v1/endpoints/{merchant.endpoint}/enable{tenant}", status=200)
        async with database.session() as db:
            await db.conn.execute("UPDATE lanes SET failing_since = now() - interval '6 days'")
        receiver.answer("/hook", status=500)
        await raise_an_event(api, merchant)
        events = [verified(request) for request in await ops.wait_for(3)]

    assert [one["event"] for one in events] == ["endpoint.disabled"] * 3
    assert [one["data"]["reason"] for one in events] == ["manual", "gone", "failing"]
    assert {one["data"]["endpoint"] for one in events} == {merchant.endpoint}


async def test_it_is_delivered_like_any_other_and_its_own_failure_raises_nothing(
    telling: Settings, receiver: Receiver, ops: Receiver, database: Database
) -> None:
    ops.answer("/ops?token=hush", status=500)
    async with running(telling) as node, Api(node.url, node.admin_key) as api:
        await api.call("PATCH", f"/v1/endpoints/{ENDPOINT}{OPERATORS}", {"retrySchedule": [0, 0]})
        merchant = await a_merchant(api, webhook_url=receiver.url())
        await api.post(f"/v1/endpoints/{merchant.endpoint}/disable?account={merchant.account}&mode=test", status=200)

        async def failed() -> Json:
            return (await api.get(f"/v1/deliveries{OPERATORS}&status=failed"))["data"]

        [delivery] = await eventually(failed)
        shown = await api.get(f"/v1/deliveries/{delivery['id']}{OPERATORS}")
        events = (await api.get(f"/v1/events{OPERATORS}"))["data"]
        await api.post(f"/v1/endpoints/{ENDPOINT}/disable{OPERATORS}", status=200)
        after = (await api.get(f"/v1/events{OPERATORS}"))["data"]

    assert (delivery["eventType"], len(shown["attempts"])) == ("endpoint.disabled", 2)
    assert [event["event"] for event in events] == ["endpoint.disabled"]
    assert after == events


async def test_no_merchant_sees_what_the_operator_is_notified_of(
    telling: Settings, receiver: Receiver, ops: Receiver
) -> None:
    async with running(telling) as node, Api(node.url, node.admin_key) as api:
        merchant = await a_merchant(api, webhook_url=receiver.url(), mode="live")
        tenant = f"?account={merchant.account}&mode=live"
        await api.post(f"/v1/endpoints/{merchant.endpoint}/disable{tenant}", status=200)
        await ops.wait_for(1)
        event = (await api.get(f"/v1/events{OPERATORS}"))["data"][0]
        async with api.as_key(merchant.key) as caller:
            lists = [(await caller.get(f"/v1/{kind}"))["data"] for kind in ("events", "deliveries")]
            endpoints = (await caller.get("/v1/endpoints"))["data"]
            found = [(await caller.call("GET", f"/v1/{one}")).status for one in _paths(event["id"])]

    assert lists == [[], []]
    assert [one["id"] for one in endpoints] == [merchant.endpoint]
    assert found == [404, 404]


def _paths(event: str) -> list[str]:
    return [f"events/{event}", f"endpoints/{ENDPOINT}"]


async def test_what_waited_for_too_long_is_reported(
    telling: Settings, receiver: Receiver, ops: Receiver, database: Database
) -> None:
    async with running(telling) as node, Api(node.url, node.admin_key) as api:
        merchant = await a_merchant(api, webhook_url=receiver.url())
        receiver.answer("/hook", status=500)
        await raise_an_event(api, merchant)
        await receiver.wait_for(1)
    async with database.transaction() as db:
        # As after a fault of ours; what the receiver asks for would buy time.
        await db.conn.execute("UPDATE queue SET started_at = now() - interval '9 days', faults = 1")
        [failed] = await queue.fail_overdue(db, now=datetime.now(UTC), limit=OVERDUE_BATCH)

    assert (failed.attempts, failed.outcome) == (1, "internal")
    assert text_of(Prefix.ENDPOINT, failed.endpoint_id) == merchant.endpoint


async def test_the_settings_move_switch_off_and_sign(settings: Settings, telling: Settings, ops: Receiver) -> None:
    async with running(telling):
        pass
    other = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"
    moved = telling.model_copy(
        update={"operational_url": SecretStr(ops.url("/new")), "operational_secret": SecretStr(other)}
    )
    async with running(moved) as node, Api(node.url, node.admin_key) as api:
        shown = await api.get(f"/v1/endpoints/{ENDPOINT}{OPERATORS}")
        signing = await api.get(f"/v1/endpoints/{ENDPOINT}/secret{OPERATORS}")
        refused = await api.call("DELETE", f"/v1/accounts/{ACCOUNT}")
    async with running(settings) as node, Api(node.url, node.admin_key) as api:
        without = await api.get(f"/v1/endpoints/{ENDPOINT}{OPERATORS}")

    assert (shown["url"], shown["enabled"]) == (ops.url("/new"), True)
    assert signing["secret"] == other
    assert SECRET in str(signing)
    assert refused.status == 409
    assert not without["enabled"]


async def test_a_secret_that_is_set_back_signs_once_and_first(telling: Settings) -> None:
    other = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"
    for secret in (SECRET, other, SECRET):
        wanted = telling.model_copy(update={"operational_secret": SecretStr(secret)})
        async with running(wanted) as node, Api(node.url, node.admin_key) as api:
            signing = await api.get(f"/v1/endpoints/{ENDPOINT}/secret{OPERATORS}")

    assert signing["secret"] == SECRET
    assert [one["secret"] for one in signing["oldSecrets"]] == [other]


async def test_a_secret_that_is_replaced_signs_for_a_day_more_whatever_the_clock_of_the_node_that_starts(
    telling: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"
    async with running(telling):
        pass
    changed = telling.model_copy(update={"operational_secret": SecretStr(other)})
    set_clock(monkeypatch, timedelta(days=-2))
    async with running(changed):
        pass
    monkeypatch.undo()
    async with running(changed) as node, Api(node.url, node.admin_key) as api:
        signing = await api.get(f"/v1/endpoints/{ENDPOINT}/secret{OPERATORS}")

    assert signing["secret"] == other
    assert [one["secret"] for one in signing["oldSecrets"]] == [SECRET]


async def test_an_endpoint_that_is_paused_stays_so_when_the_settings_move_it(
    telling: Settings, ops: Receiver, receiver: Receiver
) -> None:
    receiver.answer("/hook", status=500)
    async with running(telling) as node, Api(node.url, node.admin_key) as api:
        await api.call("POST", f"/v1/endpoints/{ENDPOINT}/pause{OPERATORS}")
    moved = telling.model_copy(update={"operational_url": SecretStr(ops.url("/new"))})
    async with running(moved) as node, Api(node.url, node.admin_key) as api:
        merchant = await a_merchant(api)
        async with api.as_key(merchant.key) as caller:
            await caller.post("/v1/endpoints", {"url": receiver.url(), "name": "shop", "retrySchedule": [0]})
        await raise_an_event(api, merchant)

        async def raised() -> bool:
            return bool((await api.get(f"/v1/deliveries{OPERATORS}"))["data"])

        async def delivered() -> bool:
            return bool((await api.get(f"/v1/deliveries{OPERATORS}"))["data"][0]["status"] == "delivered")

        await eventually(raised)
        await api.call("POST", f"/v1/endpoints/{ENDPOINT}/resume{OPERATORS}")
        await ops.wait_for(1)
        await eventually(delivered)
        [delivery] = (await api.get(f"/v1/deliveries{OPERATORS}"))["data"]
        resumed_at = (await api.get(f"/v1/endpoints/{ENDPOINT}{OPERATORS}"))["updatedAt"]
        [attempt] = (await api.get(f"/v1/deliveries/{delivery['id']}{OPERATORS}"))["attempts"]

    assert attempt["startedAt"] >= resumed_at


async def test_an_address_that_may_not_be_called_ends_the_start(settings: Settings) -> None:
    inside = settings.model_copy(update={"operational_url": SecretStr("http://10.0.0.1/ops")})

    with pytest.raises(Broken, match="ESIMHOOKS_OPERATIONAL_URL"):
        async with running(inside):
            pass
