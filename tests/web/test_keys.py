"""API keys: kinds and modes, how they are presented, when they end, from where they may be used, what is shown of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api import Answer, Api, Json, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.account import new_key
from esimhooks.vocabulary.statuses import Mode
from web.routes import API, is_field, is_problem

LONG_AGO = "2020-01-01T00:00:00Z"


@asynccontextmanager
async def a_node(settings: Settings, **changed: object) -> AsyncIterator[Api]:
    """A node with other settings, as its operator calls it."""
    async with running(settings.model_copy(update=changed)) as node, Api(node.url, node.admin_key) as api:
        yield api


async def a_key(operator: Api, account: str, **fields: Json) -> Json:
    """Make a key; return it as it is shown this once."""
    return await operator.post(f"/v1/accounts/{account}/keys", {"mode": "test", "name": "ci"} | fields)


async def an_account(operator: Api) -> str:
    account: str = (await operator.post("/v1/accounts", {"name": "Acme"}))["id"]
    return account


async def called_with(api: Api, key: str, **headers: str) -> Answer:
    async with api.as_key(key) as caller:
        return await caller.call("GET", "/v1/esims", **headers)


def is_unauthenticated(answer: Answer) -> None:
    assert is_problem(answer, 401)["code"] == "UNAUTHENTICATED"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_is_taken_from_either_header(operator: Api) -> None:
    merchant = await a_merchant(operator)

    assert (await called_with(operator, merchant.key)).status == 200
    assert (await called_with(operator, "", authorization="Basic abc", x_api_key=merchant.key)).status == 200
    for scheme in ("bearer", "BEARER"):
        answer = await called_with(operator, "", authorization=f"{scheme} {merchant.key}")
        assert answer.status == 200


async def test_two_keys_in_one_request_are_refused_whichever_is_right(operator: Api) -> None:
    merchant = await a_merchant(operator)

    for other in ("wrong", merchant.key):
        is_problem(await called_with(operator, merchant.key, x_api_key=other), 400)
        is_problem(await called_with(operator, other, x_api_key=merchant.key), 400)


async def test_whatever_is_no_key_of_ours_is_a_401_at_every_route(operator: Api) -> None:
    strangers = [
        "",
        "wrong",
        "é",
        "a" * 10_000,
        new_key(Mode.LIVE),
        new_key(Mode.TEST),
        new_key(None),
        operator.key[:-1],
    ]
    for route in API:
        async with operator.as_key(strangers[API.index(route) % len(strangers)]) as stranger:
            is_unauthenticated(await stranger.call(route.method, route.at()))
    for stranger_key in strangers:
        is_unauthenticated(await called_with(operator, stranger_key))
    for header in ("Basic abc", "Bearer", f"Token {operator.key}", operator.key):
        is_unauthenticated(await called_with(operator, "", authorization=header))


async def test_a_body_is_not_looked_at_before_the_key(operator: Api) -> None:
    async with operator.as_key("wrong") as stranger:
        is_unauthenticated(await stranger.raw("POST", "/v1/accounts", b"{", content_type="text/plain"))


async def test_a_key_with_a_wrong_letter_is_refused_though_it_is_found(operator: Api) -> None:
    merchant = await a_merchant(operator)
    for changed in (
        merchant.key[:-1],
        merchant.key + "a",
        merchant.key[:40] + "0" + merchant.key[41:],
        merchant.key.upper(),
    ):
        if changed != merchant.key:
            is_unauthenticated(await called_with(operator, changed))


async def test_a_merchants_key_is_refused_at_every_operators_route_before_its_body_is_looked_at(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        for route in [route for route in API if route.operators]:
            assert is_problem(await caller.call(route.method, route.at(), {"x": 1}), 403)["code"] == "FORBIDDEN"


async def test_a_key_is_shown_once_and_never_again(operator: Api) -> None:
    account = await an_account(operator)
    made = await a_key(operator, account, webhookUrl="https://example.com/hook")
    listed = await operator.get(f"/v1/accounts/{account}/keys")

    assert made["key"].startswith("esim_test_")
    assert made["mode"] == "test"
    [shown] = listed["data"]
    assert shown["id"] == made["id"]
    assert shown["endpointId"] == made["endpoint"]["id"]
    assert made["key"].startswith(shown["prefix"])
    assert made["key"] not in json.dumps(listed)
    assert made["endpoint"]["secret"] not in json.dumps(listed)
    assert len(shown["prefix"]) < len(made["key"]) / 2


async def test_a_webhook_url_makes_an_endpoint_of_the_keys_mode(operator: Api) -> None:
    account = await an_account(operator)
    made = await a_key(operator, account, webhookUrl="https://example.com/hook", mode="live")

    async with operator.as_key(made["key"]) as caller:
        [endpoint] = (await caller.get("/v1/endpoints"))["data"]
    assert (endpoint["id"], endpoint["mode"], endpoint["url"]) == (
        made["endpoint"]["id"],
        "live",
        "https://example.com/hook",
    )
    assert made["endpoint"]["secret"].startswith("whsec_")
    assert (await operator.get(f"/v1/endpoints?account={account}&mode=test"))["data"] == []


async def test_a_webhook_url_that_may_not_be_called_makes_no_key(operator: Api) -> None:
    account = await an_account(operator)
    body = {"mode": "test", "name": "ci", "webhookUrl": "https://10.0.0.1/hook"}

    is_field(await operator.call("POST", f"/v1/accounts/{account}/keys", body), "/webhookUrl")
    assert (await operator.get(f"/v1/accounts/{account}/keys"))["data"] == []


async def test_test_keys_and_live_keys_do_not_see_each_others_rows(operator: Api) -> None:
    account = await an_account(operator)
    keys = {mode: (await a_key(operator, account, mode=mode))["key"] for mode in ("test", "live")}
    made: dict[str, str] = {}
    for mode, key in keys.items():
        async with operator.as_key(key) as caller:
            made[mode] = (await caller.post("/v1/endpoints", {"url": f"https://example.com/{mode}"}))["id"]

    for mode, key in keys.items():
        other = made["live" if mode == "test" else "test"]
        async with operator.as_key(key) as caller:
            assert [one["id"] for one in (await caller.get("/v1/endpoints"))["data"]] == [made[mode]]
            is_problem(await caller.call("GET", f"/v1/endpoints/{other}"), 404)
            is_problem(await caller.call("DELETE", f"/v1/endpoints/{other}"), 404)
            is_problem(await caller.call("GET", f"/v1/endpoints?mode={'live' if mode == 'test' else 'test'}"), 404)
            assert (await caller.get(f"/v1/endpoints?mode={mode}&account={account}"))["data"] != []


async def test_revoking_ends_a_key_at_once(operator: Api) -> None:
    account = await an_account(operator)
    made, kept = await a_key(operator, account), await a_key(operator, account)
    assert (await called_with(operator, made["key"])).status == 200

    answer = await operator.call("DELETE", f"/v1/accounts/{account}/keys/{made['id']}")

    assert (answer.status, answer.body) == (204, None)
    is_unauthenticated(await called_with(operator, made["key"]))
    assert (await called_with(operator, kept["key"])).status == 200
    is_problem(await operator.call("DELETE", f"/v1/accounts/{account}/keys/{made['id']}"), 404)


@pytest.mark.slow(reason="starts a second node")
@pytest.mark.timeout(30)
async def test_revoking_on_one_node_ends_the_key_on_another_soon(operator: Api, settings: Settings) -> None:
    account = await an_account(operator)
    made = await a_key(operator, account)
    async with a_node(settings) as other:
        assert (await called_with(other, made["key"])).status == 200
        await operator.call("DELETE", f"/v1/accounts/{account}/keys/{made['id']}")

        async def refused() -> bool:
            return (await called_with(other, made["key"])).status == 401

        await eventually(refused)


async def test_another_accounts_key_cannot_be_revoked(operator: Api) -> None:
    account, other = await an_account(operator), await an_account(operator)
    made = await a_key(operator, account)

    is_problem(await operator.call("DELETE", f"/v1/accounts/{other}/keys/{made['id']}"), 404)
    assert (await called_with(operator, made["key"])).status == 200


async def test_deleting_an_account_ends_its_keys_at_once(operator: Api) -> None:
    merchant = await a_merchant(operator)
    assert (await called_with(operator, merchant.key)).status == 200

    assert (await operator.call("DELETE", f"/v1/accounts/{merchant.account}")).status == 204

    is_unauthenticated(await called_with(operator, merchant.key))


async def test_an_expired_key_is_refused_as_expired(operator: Api) -> None:
    account = await an_account(operator)
    expired = await a_key(operator, account, expiresAt=LONG_AGO)
    lasting = await a_key(operator, account, expiresAt="2999-01-01T00:00:00+02:00")

    answer = await called_with(operator, expired["key"])
    is_unauthenticated(answer)
    assert "expired" in answer.body["detail"]
    assert (await called_with(operator, lasting["key"])).status == 200
    assert lasting["expiresAt"] == "2998-12-31T22:00:00.000Z"


@pytest.mark.parametrize(
    ("proxies", "allowed", "forwarded", "status"),
    [
        (0, "127.0.0.1", None, 200),
        (0, "127.0.0.0/8", None, 200),
        (0, "::/0", None, 403),
        (0, "203.0.113.7", "203.0.113.7", 403),
        (0, "127.0.0.1", "203.0.113.7", 200),
        (1, "203.0.113.7", "203.0.113.7", 200),
        (1, "203.0.113.7", "198.51.100.1, 203.0.113.7", 200),
        (1, "203.0.113.7", "203.0.113.7, 198.51.100.1", 403),
        (1, "127.0.0.1", "203.0.113.7", 403),
        (1, "203.0.113.7", "nonsense", 403),
        (1, "203.0.113.7", "::ffff:203.0.113.7", 200),
        (2, "203.0.113.7", "203.0.113.7, 198.51.100.1", 200),
        (2, "203.0.113.7", "203.0.113.7, 198.51.100.2, 198.51.100.1", 403),
    ],
)
async def test_allowed_addresses_count_from_behind_the_trusted_proxies(
    proxies: int, allowed: str, forwarded: str | None, status: int, settings: Settings
) -> None:
    async with a_node(settings, trusted_proxies=proxies) as operator:
        made = await a_key(operator, await an_account(operator), allowedIps=[allowed])
        headers = {"x_forwarded_for": forwarded} if forwarded else {}

        assert (await called_with(operator, made["key"], **headers)).status == status


async def test_a_proxys_own_line_counts_and_not_the_one_that_the_caller_made_up(settings: Settings) -> None:
    async with a_node(settings, trusted_proxies=1) as operator:
        made = await a_key(operator, await an_account(operator), allowedIps=["203.0.113.7"])
        reader, writer = await asyncio.open_connection("127.0.0.1", int(operator.url.rpartition(":")[2]))
        writer.write(
            f"GET /v1/esims HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {made['key']}\r\n"
            "x-forwarded-for: 203.0.113.7\r\nx-forwarded-for: 198.51.100.1\r\n\r\n".encode()
        )

        assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
        writer.close()


async def test_the_last_use_of_a_key_is_shown_and_written_at_most_once_a_minute(operator: Api) -> None:
    merchant = await a_merchant(operator)

    async def used() -> Json:
        [key] = (await operator.get(f"/v1/accounts/{merchant.account}/keys"))["data"]
        return key["lastUsedAt"]

    assert await used() is None
    assert (await called_with(operator, merchant.key)).status == 200
    first = await eventually(used)
    assert (await called_with(operator, merchant.key)).status == 200
    assert await used() == first


async def test_an_operator_acts_for_the_account_and_mode_that_it_names(operator: Api) -> None:
    account = await an_account(operator)
    for mode in ("test", "live"):
        await operator.post(f"/v1/endpoints?account={account}&mode={mode}", {"url": f"https://example.com/{mode}"})

    for query, expected in (("&mode=test", "test"), ("&mode=live", "live"), ("", "live")):
        [endpoint] = (await operator.get(f"/v1/endpoints?account={account}{query}"))["data"]
        assert endpoint["mode"] == expected
    is_field(await operator.call("GET", "/v1/endpoints"), "query:account", "?account=acc_...")
    is_field(await operator.call("GET", f"/v1/endpoints?account={account}&mode=prod"), "query:mode", "live or test")
    is_field(await operator.call("GET", f"/v1/endpoints?account={account}&account={account}"), "query:account", "once")


async def test_an_account_has_at_most_two_live_keys_in_a_mode(operator: Api) -> None:
    account, other = await an_account(operator), await an_account(operator)
    first, second = await a_key(operator, account, name="old"), await a_key(operator, account, name="new")
    path = f"/v1/accounts/{account}/keys"

    third = await operator.call("POST", path, {"mode": "test", "name": "third"})
    detail = is_problem(third, 409)["detail"]
    assert [
        one for one in ("2 keys of mode test", f"old ({first['id']})", f"new ({second['id']})") if one not in detail
    ] == []
    assert len((await operator.get(path))["data"]) == 2
    await a_key(operator, account, mode="live")
    await a_key(operator, other)

    await operator.call("DELETE", f"{path}/{first['id']}")
    await a_key(operator, account)


async def test_a_key_that_has_expired_does_not_count_until_it_is_to_live_again(operator: Api) -> None:
    account = await an_account(operator)
    path = f"/v1/accounts/{account}/keys"
    expired = await a_key(operator, account, expiresAt=LONG_AGO)
    one, _ = await a_key(operator, account), await a_key(operator, account)
    await a_key(operator, account, expiresAt=LONG_AGO)

    is_problem(await operator.call("PATCH", f"{path}/{expired['id']}", {"expiresAt": None}), 409)
    assert (await operator.call("PATCH", f"{path}/{one['id']}", {"expiresAt": LONG_AGO})).status == 200
    assert (await operator.call("PATCH", f"{path}/{expired['id']}", {"expiresAt": None})).status == 200


async def test_of_many_keys_made_at_once_two_are_made(operator: Api) -> None:
    account = await an_account(operator)
    body = {"mode": "test", "name": "ci"}

    answers = await asyncio.gather(*(operator.call("POST", f"/v1/accounts/{account}/keys", body) for _ in range(6)))

    assert sorted(answer.status for answer in answers) == [201, 201, 409, 409, 409, 409]
