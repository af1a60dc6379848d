"""Endpoints that stand: changed by a merge patch, switched off and on, tested, given headers; how they do."""

import pytest

from api import Api, Json, Merchant, a_merchant, eventually
from receiver import Receiver, status
from system.gated_answers import Gate
from web.routes import a_tenant, is_field, is_problem
from web.test_deliveries import a_caller, delivery_in_status, raised

URL = "https://hooks.example.com/esims"


async def an_endpoint(operator: Api, query: str, **fields: Json) -> Json:
    made = await operator.post(f"/v1/endpoints{query}", {"url": URL} | fields)
    del made["secret"], made["publicKey"]
    return made


async def patched(operator: Api, query: str, endpoint: Json, patch: Json) -> Json:
    answer = await operator.call("PATCH", f"/v1/endpoints/{endpoint['id']}{query}", patch)
    assert answer.status == 200, answer
    assert answer.body == await operator.get(f"/v1/endpoints/{endpoint['id']}{query}")
    return answer.body


async def test_a_patch_changes_what_it_names_and_nothing_else(operator: Api) -> None:
    query = await a_tenant(operator)
    before = await an_endpoint(operator, query, name="main", rateLimit=5, headers={"X-A": "1", "x-b": "2"})

    after = await patched(
        operator,
        query,
        before,
        {"name": None, "timeout": 9, "retrySchedule": "persistent", "headers": {"X-B": None, "X-C": "3"}},
    )

    assert after.pop("updatedAt") > before.pop("updatedAt")
    expected = {"name": None, "timeout": 9.0, "headers": {"x-a": "1", "x-c": "3"}}
    assert len(after["retrySchedule"]) == 10
    assert after == before | expected | {"retrySchedule": after["retrySchedule"]}


async def test_null_puts_a_field_back_to_its_default(operator: Api) -> None:
    query = await a_tenant(operator)
    fields = {"retrySchedule": [0], "timeout": 9, "maxInFlight": 3, "rateLimit": 5, "ordering": "esim"}
    endpoint = await an_endpoint(operator, query, **fields, eventTypes=["esim.*"], headers={"x-a": "1"})

    after = await patched(operator, query, endpoint, dict.fromkeys([*fields, "eventTypes", "headers"]))

    fresh = await an_endpoint(operator, query)
    for name in ("id", "createdAt", "updatedAt"):
        after.pop(name), fresh.pop(name)
    assert after == fresh


async def test_an_empty_patch_changes_nothing(operator: Api) -> None:
    query = await a_tenant(operator)
    endpoint = await an_endpoint(operator, query)

    assert await patched(operator, query, endpoint, {}) == endpoint
    assert await patched(operator, query, endpoint, {"url": URL}) == endpoint


async def test_a_timeout_reads_back_as_it_was_set_and_is_no_change_when_set_again(operator: Api) -> None:
    query = await a_tenant(operator)
    endpoint = await an_endpoint(operator, query, timeout=2.3)
    assert endpoint["timeout"] == 2.3
    assert await patched(operator, query, endpoint, {"timeout": 2.3}) == endpoint

    changed = await patched(operator, query, endpoint, {"timeout": 4.7})
    assert changed["timeout"] == 4.7
    assert await patched(operator, query, endpoint, {"timeout": 4.7}) == changed


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"url": None}, "/url"),
        ({"url": "https://10.0.0.1/"}, "/url"),
        ({"headers": {"content-length": "5"}}, "/headers/content-length"),
        ({"headers": {f"x-{number}": "1" for number in range(20)}}, "/headers"),
        ({"timeout": 0}, "/timeout"),
        ({"enabled": False}, "/enabled"),
        ({"secret": "whsec_mine"}, "/secret"),
    ],
)
async def test_a_patch_is_checked_like_a_new_endpoint(patch: Json, pointer: str, operator: Api) -> None:
    query = await a_tenant(operator)
    endpoint = await an_endpoint(operator, query, headers={"x-mine": "1"})

    is_field(await operator.call("PATCH", f"/v1/endpoints/{endpoint['id']}{query}", patch), pointer)

    assert await operator.get(f"/v1/endpoints/{endpoint['id']}{query}") == endpoint


async def test_own_headers_are_sent_and_ours_win(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        await caller.post("/v1/endpoints", {"url": receiver.url(), "headers": {"Authorization": "Basic dTpw"}})
        await raised(caller)

        [request] = await receiver.wait_for(1)

    assert request.headers["authorization"] == "Basic dTpw"
    assert request.headers["user-agent"].startswith("esimhooks/")


async def switched(caller: Api, merchant: Merchant, way: str) -> Json:
    answer = await caller.call("POST", f"/v1/endpoints/{merchant.endpoint}/{way}")
    assert answer.status == 200, answer
    return answer.body


async def test_an_endpoint_that_is_off_keeps_what_waits_and_sends_it_once_it_is_on(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_caller(operator, receiver)
    receiver.answer(status=500)
    async with operator.as_key(merchant.key) as caller:
        await caller.call("PATCH", f"/v1/endpoints/{merchant.endpoint}", {"retrySchedule": [0, *[1] * 19]})
        waiting = await raised(caller)
        await receiver.wait_for(1)

        off = await switched(caller, merchant, "disable")
        assert (off["enabled"], off["disabledReason"]) == (False, "manual")
        again = await switched(caller, merchant, "disable")
        assert again | {"health": None} == off | {"health": None}
        unseen = await raised(caller)
        assert (await caller.get(f"/v1/deliveries?event={unseen}"))["data"] == []
        assert await delivery_in_status(caller, waiting, "pending")
        is_problem(await caller.call("POST", f"/v1/endpoints/{merchant.endpoint}/test", {"event": "esim.created"}), 409)

        receiver.answer(status=200)
        on = await switched(caller, merchant, "enable")
        assert (on["enabled"], on["disabledReason"]) == (True, None)
        await delivery_in_status(caller, waiting, "delivered")


async def test_a_changed_url_gets_what_waits(operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    changed = Gate(then=status(500))
    receiver.answer(script=[changed.answer])
    async with operator.as_key(merchant.key) as caller:
        await caller.call("PATCH", f"/v1/endpoints/{merchant.endpoint}", {"retrySchedule": [0, 1]})
        event = await raised(caller)
        await receiver.wait_for(1)

        await caller.call("PATCH", f"/v1/endpoints/{merchant.endpoint}", {"url": receiver.url("/new")})
        changed.open()
        await delivery_in_status(caller, event, "delivered")

    assert [request.path for request in receiver.received] == ["/hook", "/new"]


async def test_a_test_reaches_the_one_endpoint_whatever_it_wants(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, mode="live")
    async with operator.as_key(merchant.key) as caller:
        await caller.post("/v1/endpoints", {"url": receiver.url("/others")})
        mine = await caller.post("/v1/endpoints", {"url": receiver.url("/mine"), "eventTypes": ["esim.created"]})

        sent = await caller.post(f"/v1/endpoints/{mine['id']}/test", {"event": "esim.expired"}, status=202)
        await delivery_in_status(caller, sent["event"], "delivered")
        event = await caller.get(f"/v1/events/{sent['event']}")

    assert [request.path for request in receiver.received] == ["/mine"]
    assert (event["event"], event["mode"]) == ("esim.expired", "test")


async def test_stats_show_how_an_endpoint_does(operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        path = f"/v1/endpoints/{merchant.endpoint}/stats"
        assert (await caller.get(path))["arrivalMs"] is None
        await delivery_in_status(caller, await raised(caller), "delivered")
        receiver.answer(status=500)
        await raised(caller)

        async def failing() -> Json:
            stats = await caller.get(path)
            return stats if stats["lane"]["failuresInARow"] else None

        stats = await eventually(failing)

    assert stats["deliveries"] == {"pending": 1, "delivered": 1, "failed": 0, "stopped": 0, "cancelled": 0}
    assert stats["attempts"] == 2
    assert stats["lane"]["pending"] == 1
    assert list(stats["arrivalMs"]) == ["p50", "p95", "p99"]


@pytest.mark.parametrize("named", [False, True])
async def test_an_event_is_sent_again(named: bool, operator: Api, receiver: Receiver) -> None:  # noqa: FBT001
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        event = await raised(caller)
        delivery = await delivery_in_status(caller, event, "delivered")

        body = {"endpoint": merchant.endpoint} if named else {}
        sent = await caller.post(f"/v1/events/{event}/resend", body, status=202)
        await receiver.wait_for(2)

    assert sent == {"event": event, "deliveries": [delivery["id"]]}
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1


async def test_an_endpoint_that_never_got_an_event_gets_it(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        event = await raised(caller)
        is_problem(await caller.call("POST", f"/v1/events/{event}/resend", {}), 409)
        other = await caller.post("/v1/endpoints", {"url": receiver.url(), "eventTypes": ["esim.created"]})
        is_problem(await caller.call("POST", f"/v1/events/{event}/resend", {}), 409)

        await caller.post(f"/v1/events/{event}/resend", {"endpoint": other["id"]}, status=202)
        await delivery_in_status(caller, event, "delivered")
        nowhere = await caller.call("POST", f"/v1/events/{event}/resend", {"endpoint": "ep_nonsense"})

    is_field(nowhere, "/endpoint", "ep_")


async def test_a_pending_delivery_is_cancelled_once_and_may_be_sent_again(operator: Api, receiver: Receiver) -> None:
    receiver.answer(status=500)
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        event = await raised(caller)
        await receiver.wait_for(1)
        delivery = await delivery_in_status(caller, event, "pending")
        path = f"/v1/deliveries/{delivery['id']}"

        cancelled = await caller.post(f"{path}/cancel", status=200)
        assert (cancelled["status"], cancelled["nextAttemptAt"]) == ("cancelled", None)
        is_problem(await caller.call("POST", f"{path}/cancel"), 409)

        receiver.answer(status=200)
        await caller.post(f"{path}/retry", status=202)
        await delivery_in_status(caller, event, "delivered")
        is_problem(await caller.call("POST", f"{path}/cancel"), 409)
