"""What the holder of a key may do: every operation against every role, operators' keys with names, the pages by role."""

from collections import defaultdict

import pytest
from aiohttp import ClientSession, CookieJar

from api import Answer, Api, Json, a_merchant
from esimhooks.server.domain.roles import MAY, Permission, Role
from receiver import Receiver
from web.routes import API, Route, is_field, is_problem

EXPECTED = {
    Permission.EVENTS: {
        "GET /v1/event-types",
        "GET /v1/event-types/{event}",
        "GET /v1/events",
        "GET /v1/events/{event_id}",
    },
    Permission.SUPPORT: {
        "POST /v1/deliveries/retry",
        "POST /v1/deliveries/{delivery_id}/cancel",
        "POST /v1/deliveries/{delivery_id}/retry",
        "POST /v1/endpoints/test-filter",
        "POST /v1/endpoints/{endpoint_id}/disable",
        "POST /v1/endpoints/{endpoint_id}/enable",
        "POST /v1/endpoints/{endpoint_id}/pause",
        "POST /v1/endpoints/{endpoint_id}/recover",
        "POST /v1/endpoints/{endpoint_id}/recoveries/{recovery_id}/cancel",
        "POST /v1/endpoints/{endpoint_id}/resume",
        "POST /v1/endpoints/{endpoint_id}/send-now",
        "POST /v1/endpoints/{endpoint_id}/test",
        "POST /v1/esims/requery",
        "POST /v1/esims/{esim_id}/requery",
        "POST /v1/events/{event_id}/resend",
        "POST /v1/notifications/{notification_id}/replay",
        "POST /v1/requeries/{requery_id}/cancel",
        "POST /v1/test-events",
    },
    Permission.MANAGE: {
        "DELETE /v1/endpoints/{endpoint_id}",
        "GET /v1/endpoints/{endpoint_id}/secret",
        "PATCH /v1/endpoints/{endpoint_id}",
        "POST /v1/endpoints",
        "POST /v1/endpoints/{endpoint_id}/rotate-secret",
    },
}
"""All others that change something, and those that show what is as good as a key, need an admin; all others that read, read."""


async def an_operator_key(operator: Api, role: str, **fields: Json) -> Json:
    return await operator.post("/v1/operator-keys", {"name": f"Ana ({role})", "role": role} | fields)


async def called(api: Api, route: Route, account: str) -> Answer:
    query = f"?account={account}&mode=test" if route.of_tenant else ""
    return await api.call(route.method, route.at() + query, {} if route.takes_body else None)


def is_forbidden(answer: Answer) -> bool:
    return answer.status == 403 and "role" in answer.body["detail"]


def test_what_each_operation_needs_is_as_expected() -> None:
    needed = defaultdict(set)
    for route in API:
        needed[route.permission].add(f"{route.method} {route.path}")

    for permission, operations in EXPECTED.items():
        assert needed[permission] == operations
    assert all(one.startswith("GET ") for one in needed[Permission.READ])
    assert {one for one in needed[Permission.ADMIN] if one.startswith("GET ")} == {
        "GET /v1/operator-keys",
        "GET /v1/providers",
        "GET /v1/providers/{name}",
        "GET /v1/providers/{name}/documents",
    }


@pytest.mark.parametrize("role", ["admin", "support", "read"])
async def test_an_operators_key_may_do_what_its_role_says_and_nothing_else(role: str, operator: Api) -> None:
    merchant = await a_merchant(operator)
    made = await an_operator_key(operator, role)
    async with operator.as_key(made["key"]) as caller:
        for route in API:
            answer = await called(caller, route, merchant.account)
            assert is_forbidden(answer) is (route.permission not in MAY[Role(role)]), (route, answer)


@pytest.mark.parametrize("role", ["manage", "read", "events"])
async def test_a_merchants_key_may_do_what_its_role_says_and_nothing_else(role: str, operator: Api) -> None:
    merchant = await a_merchant(operator)
    path = f"/v1/accounts/{merchant.account}/keys"
    made = await operator.post(path, {"mode": "test", "name": "bi", "role": role})
    assert made["role"] == role
    async with operator.as_key(made["key"]) as caller:
        for route in API:
            answer = await called(caller, route, merchant.account)
            if route.operators:
                is_problem(answer, 403)
            else:
                assert is_forbidden(answer) is (route.permission not in MAY[Role(role)]), (route, answer)


async def test_a_key_for_reading_is_made_beside_two_that_are_in_use(operator: Api) -> None:
    merchant = await a_merchant(operator)
    path = f"/v1/accounts/{merchant.account}/keys"
    await operator.post(path, {"mode": "test", "name": "second"})
    is_problem(await operator.call("POST", path, {"mode": "test", "name": "third"}), 409)

    await operator.post(path, {"mode": "test", "name": "bi", "role": "read"})
    for role in ("admin", "support", "owner"):
        is_field(await operator.call("POST", path, {"mode": "test", "name": "x", "role": role}), "/role")


async def test_operators_keys_have_names_ends_and_addresses_and_the_audit_log_names_them(
    operator: Api, receiver: Receiver
) -> None:
    made = await an_operator_key(operator, "admin", expiresAt="2099-01-01T00:00:00Z", allowedIps=["127.0.0.0/8"])
    assert made["key"].startswith("esim_admin_")
    async with operator.as_key(made["key"]) as ana:
        account = (await ana.post("/v1/accounts", {"name": "Acme"}))["id"]
        [entry] = (await ana.get(f"/v1/audit?subject={account}"))["data"]
        assert (entry["actor"]["kind"], entry["actor"]["key"], entry["actor"]["name"]) == (
            "operator",
            made["id"],
            "Ana (admin)",
        )
        [shown] = (await ana.get("/v1/operator-keys"))["data"]
        assert "key" not in shown
        assert (shown["role"], shown["expiresAt"], shown["allowedIps"]) == (
            "admin",
            "2099-01-01T00:00:00.000Z",
            ["127.0.0.0/8"],
        )
        path = f"/v1/operator-keys/{made['id']}"
        elsewhere = await operator.call("PATCH", path, {"allowedIps": ["203.0.113.0/24"]})
        assert elsewhere.status == 200
        is_problem(await ana.call("GET", "/v1/accounts"), 403)
        await operator.call("PATCH", path, {"allowedIps": None, "expiresAt": "2020-01-01T00:00:00Z"})
        is_problem(await ana.call("GET", "/v1/accounts"), 401)
        await operator.call("PATCH", path, {"expiresAt": None})
        assert (await ana.call("GET", "/v1/accounts")).status == 200
        assert (await operator.call("DELETE", path)).status == 204
        is_problem(await ana.call("GET", "/v1/accounts"), 401)
    is_problem(await operator.call("DELETE", path), 404)


async def test_no_merchants_key_is_an_operators_by_its_id(operator: Api) -> None:
    merchant = await a_merchant(operator)
    [key] = (await operator.get(f"/v1/accounts/{merchant.account}/keys"))["data"]
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        is_problem(await operator.call(method, f"/v1/operator-keys/{key['id']}", body), 404)
    made = await an_operator_key(operator, "read")
    is_problem(await operator.call("DELETE", f"/v1/accounts/{merchant.account}/keys/{made['id']}"), 404)


async def test_the_pages_know_the_role(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    path = f"/v1/accounts/{merchant.account}/keys"
    reading = await operator.post(path, {"mode": "test", "name": "bi", "role": "read"})
    events = await operator.post(path, {"mode": "test", "name": "pull", "role": "events"})

    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        async with browser.post(operator.url + "/sign-in", data={"key": events["key"]}) as answer:
            assert answer.status == 403
        async with browser.post(operator.url + "/sign-in", data={"key": reading["key"]}) as answer:
            page = await answer.text()
        async with browser.get(operator.url + "/endpoints") as answer:
            assert "/endpoints/new" not in await answer.text()
        csrf = page.split('name="csrf" value="')[1].split('"')[0]
        endpoint = f"{operator.url}/endpoints/{merchant.endpoint}"
        async with browser.get(endpoint) as answer:
            assert answer.status == 200
        async with browser.get(f"{endpoint}/secrets") as answer:
            assert answer.status == 403
        for what in ("disable", "delete", "test"):
            async with browser.post(f"{endpoint}/{what}", data={"csrf": csrf, "event": "esim.activated"}) as answer:
                assert answer.status == 403
        async with browser.post(operator.url + "/sign-out", data={"csrf": csrf}) as answer:
            assert answer.status == 200
    [one] = (await operator.get(f"/v1/endpoints?account={merchant.account}&mode=test"))["data"]
    assert one["enabled"]


async def test_values_of_an_endpoints_headers_are_for_who_may_see_its_secrets(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator)
    path = f"/v1/accounts/{merchant.account}/keys"
    reading = await operator.post(path, {"mode": "test", "name": "bi", "role": "read"})
    tenant = f"account={merchant.account}&mode=test"
    helping = await an_operator_key(operator, "support")
    body = {"url": receiver.url(), "headers": {"authorization": "Bearer hush"}}
    async with operator.as_key(merchant.key) as caller:
        endpoint = (await caller.post("/v1/endpoints", body))["id"]
        await caller.post("/v1/test-events", {"event": "esim.activated"})
        await receiver.wait_for(1)
        delivery = (await caller.get("/v1/deliveries"))["data"][0]["id"]
        shown = [(await caller.get(f"/v1/endpoints/{endpoint}"))["headers"]]
    async with operator.as_key(reading["key"]) as caller:
        shown.append((await caller.get(f"/v1/endpoints/{endpoint}"))["headers"])
        shown += [one["headers"] for one in (await caller.get("/v1/endpoints"))["data"]]
    async with operator.as_key(helping["key"]) as caller:
        shown.append((await caller.post(f"/v1/endpoints/{endpoint}/disable?{tenant}", status=200))["headers"])
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        await browser.post(operator.url + "/sign-in", data={"key": reading["key"]})
        async with browser.get(f"{operator.url}/deliveries/{delivery}") as answer:
            page = await answer.text()
        async with browser.get(f"{operator.url}/endpoints/{endpoint}/edit") as answer:
            form = answer.status

    assert shown == [{"authorization": "Bearer hush"}, *[{"authorization": "\u2026"}] * 3]
    assert ("authorization: \u2026" in page, "hush" in page) == (True, False)
    assert form == 403
