"""The audit log: who changed what, from where; nothing secret in it, nothing of others, nothing that did not happen."""

import json
import ssl
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import trustme
from aiohttp import ClientSession

from api import Api, Json, Merchant, a_merchant
from receiver import Receiver
from web.routes import is_field, is_problem
from web.rows import pages


async def entries(api: Api, **where: str) -> list[Json]:
    """Return the entries, oldest first."""
    query = "&".join(f"{name}={value}" for name, value in where.items())
    found: list[Json] = (await api.get(f"/v1/audit?limit=100&{query}"))["data"]
    return found[::-1]


async def actions(api: Api, **where: str) -> list[str]:
    return [entry["action"] for entry in await entries(api, **where)]


async def key_id(operator: Api, merchant: Merchant) -> str:
    [key] = (await operator.get(f"/v1/accounts/{merchant.account}/keys"))["data"]
    return str(key["id"])


async def test_a_change_says_who_made_it_from_where_and_what_it_was_before(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        made = await caller.post("/v1/endpoints", {"url": "https://example.com/a"})
        await caller.call("PATCH", f"/v1/endpoints/{made['id']}", {"url": "https://example.com/b", "rateLimit": 5})
        [entry] = await entries(caller, action="endpoint.change")

    assert entry["id"].startswith("aud_")
    assert entry["actor"] == {"kind": "merchant", "key": await key_id(operator, merchant), "name": "ci"}
    assert (entry["address"], entry["subject"]) == ("127.0.0.1", made["id"])
    assert (entry["account"], entry["mode"]) == (merchant.account, "test")
    assert entry["changes"] == {
        "url": {"old": "https://example.com/a", "new": "https://example.com/b"},
        "rateLimit": {"old": None, "new": 5},
    }
    assert datetime.fromisoformat(entry["at"]).tzinfo is not None


async def test_everything_that_a_merchant_does_to_an_endpoint_is_reported(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    path = f"/v1/endpoints/{merchant.endpoint}"
    async with operator.as_key(merchant.key) as caller:
        event = (await caller.post("/v1/test-events", {"event": "esim.activated"}))["id"]
        await receiver.wait_for(1)
        await caller.post(f"{path}/disable", status=200)
        await caller.post(f"{path}/disable", status=200)
        await caller.post(f"{path}/enable", status=200)
        await caller.post(f"{path}/test", {"event": "esim.activated"}, status=202)
        await caller.post(f"{path}/rotate-secret", {}, status=200)
        await caller.post(f"{path}/recover", {"from": "2020-01-01T00:00:00Z", "dryRun": True}, status=200)
        await caller.post(f"{path}/recover", {"from": "2020-01-01T00:00:00Z"}, status=202)
        await caller.call("DELETE", path)
        found = await entries(caller, actor="merchant")
        about_the_endpoint = await actions(caller, subject=merchant.endpoint or "", actor="merchant")

    assert [(entry["action"], entry["subject"]) for entry in found][:1] == [("event.test", event)]
    assert about_the_endpoint == [
        "endpoint.disable",
        "endpoint.enable",
        "endpoint.test",
        "endpoint.rotate-secret",
        "endpoint.recover",
        "endpoint.delete",
    ]


async def test_what_an_operator_does_is_reported_to_operators(operator: Api) -> None:
    account = await operator.post("/v1/accounts", {"name": "Acme"})
    path = f"/v1/accounts/{account['id']}"
    await operator.call("PATCH", path, {"name": "Acme"})
    await operator.call("PATCH", path, {"name": "Acme Ltd"})
    key = await operator.post(f"{path}/keys", {"mode": "live", "name": "shop", "webhookUrl": "https://example.com/a"})
    await operator.call("PATCH", f"{path}/keys/{key['id']}", {"name": "shop 2", "webhookUrl": "https://example.com/b"})
    await operator.call("DELETE", f"{path}/keys/{key['id']}")
    await operator.call("DELETE", path)

    assert await actions(operator, account=account["id"]) == [
        "account.create",
        "account.rename",
        "endpoint.create",
        "key.create",
        "endpoint.change",
        "key.change",
        "key.revoke",
        "account.delete",
    ]
    [renamed] = await entries(operator, action="account.rename")
    assert renamed["actor"] == {"kind": "operator", "key": None, "name": None}
    assert renamed["changes"] == {"name": {"old": "Acme", "new": "Acme Ltd"}}


async def test_secrets_and_credentials_are_reported_to_have_changed_and_not_shown(operator: Api) -> None:
    merchant = await a_merchant(operator)
    provider = {"kind": "esimaccess", "credentials": {"accessCode": "first-code"}, "settings": {"confirm": "never"}}
    await operator.put("/v1/providers/upstream", provider)
    await operator.put("/v1/providers/upstream", provider | {"credentials": {"accessCode": "second-code"}})
    async with operator.as_key(merchant.key) as caller:
        body = {"url": "https://example.com/a", "headers": {"x-token": "first-word"}}
        made = await caller.post("/v1/endpoints", body)
        await caller.call("PATCH", f"/v1/endpoints/{made['id']}", {"headers": {"x-token": "second-word"}})
        rotated = await caller.post(f"/v1/endpoints/{made['id']}/rotate-secret", {}, status=200)

    found = await entries(operator)
    changed = {entry["action"]: entry["changes"] for entry in found}
    assert changed["provider.put"] == {"credentials.accessCode": {"old": "(hidden)", "new": "(hidden)"}}
    assert changed["endpoint.change"] == {"headers.x-token": {"old": "(hidden)", "new": "(hidden)"}}
    text = json.dumps(found)
    secrets = [
        "first-code",
        "second-code",
        "first-word",
        "second-word",
        made["secret"],
        rotated["secret"],
        merchant.key,
    ]
    assert [one for one in secrets if one in text] == []


async def test_an_authority_is_reported_by_its_subject_and_digest(operator: Api) -> None:
    merchant = await a_merchant(operator, webhook_url="https://example.com/a")
    first, renewed = (trustme.CA(organization_name="Shop").cert_pem.bytes().decode() for _ in range(2))
    async with operator.as_key(merchant.key) as caller:
        for pem in (first, renewed, renewed, None):
            await caller.call("PATCH", f"/v1/endpoints/{merchant.endpoint}", {"caCertificate": pem})
        changed = [entry["changes"]["caCertificate"] for entry in await entries(caller, action="endpoint.change")]

    old, new = (sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() for pem in (first, renewed))
    shown = [[one[side] and one[side][0].split(", SHA-256 ")[1] for side in ("old", "new")] for one in changed]
    assert shown == [[None, old], [old, new], [new, None]]
    assert "O=Shop" in changed[1]["new"][0]


async def test_what_was_refused_or_changed_nothing_leaves_no_entry(operator: Api) -> None:
    merchant = await a_merchant(operator, webhook_url="https://example.com/a")
    before = await entries(operator)
    path = f"/v1/endpoints/{merchant.endpoint}"
    async with operator.as_key(merchant.key) as caller:
        is_problem(await caller.call("PATCH", path, {"url": "https://10.0.0.1/"}), 422)
        is_problem(await caller.call("POST", "/v1/accounts", {"name": "Mine"}), 403)
        assert (await caller.call("PATCH", path, {"url": "https://example.com/a"})).status == 200
        assert (await caller.call("POST", f"{path}/enable")).status == 200

    assert await entries(operator) == before


async def test_a_repetition_under_an_idempotency_key_is_no_second_change(operator: Api) -> None:
    for _ in range(2):
        answer = await operator.call("POST", "/v1/accounts", {"name": "Acme"}, idempotency_key="k-1")
        assert answer.status == 201

    assert await actions(operator) == ["account.create"]


async def test_a_merchant_sees_its_own_account_and_mode_and_no_operators_key_or_address(operator: Api) -> None:
    mine, other = await a_merchant(operator), await a_merchant(operator)
    live = await operator.post(f"/v1/accounts/{mine.account}/keys", {"mode": "live", "name": "shop"})
    await operator.post(f"/v1/endpoints?account={mine.account}&mode=test", {"url": "https://example.com/mine"})
    await operator.post(f"/v1/endpoints?account={mine.account}&mode=live", {"url": "https://example.com/live"})
    await operator.post(f"/v1/endpoints?account={other.account}&mode=test", {"url": "https://example.com/other"})

    async with operator.as_key(mine.key) as caller:
        found = await entries(caller)
        assert [entry["action"] for entry in found] == ["key.create", "endpoint.create"]
        assert found[-1]["changes"]["url"]["new"] == "https://example.com/mine"
        assert {json.dumps([entry["actor"], entry["address"]]) for entry in found} == {
            json.dumps([{"kind": "operator", "key": None, "name": None}, None])
        }
        is_problem(await caller.call("GET", f"/v1/audit?account={other.account}"), 404)
        is_problem(await caller.call("GET", "/v1/audit?mode=live"), 404)
    async with operator.as_key(live["key"]) as caller:
        assert {entry["mode"] for entry in await entries(caller)} == {"live"}


async def test_the_log_is_narrowed_by_actor_subject_and_time_and_comes_in_pages(operator: Api) -> None:
    merchant = await a_merchant(operator, quotas={})
    key = await key_id(operator, merchant)
    async with operator.as_key(merchant.key) as caller:
        for number in range(5):
            await caller.post("/v1/endpoints", {"url": f"https://example.com/{number}"})
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    assert await actions(operator, actor=key) == ["endpoint.create"] * 5
    assert await actions(operator, subject=merchant.account) == ["account.create"]
    assert await actions(operator, actor="operator") == ["account.create", "key.create"]
    assert await actions(operator, actor="system") == []
    assert len(await entries(operator, to=tomorrow)) == 7
    assert await entries(operator, **{"from": tomorrow}) == []
    assert [len(page) for page in await pages(operator, "/v1/audit", limit=3)] == [3, 3, 1]
    is_field(await operator.call("GET", "/v1/audit?actor=somebody"), "query:actor", "operator, merchant, system")
    is_field(await operator.call("GET", "/v1/audit?action=nothing"), "query:action", "endpoint.change")


async def test_no_operation_writes_to_the_log(operator: Api) -> None:
    await a_merchant(operator)
    [first, *_] = await entries(operator)
    for method in ("PUT", "PATCH", "DELETE", "POST"):
        is_problem(await operator.call(method, "/v1/audit", {}), 405)
        is_problem(await operator.call(method, f"/v1/audit/{first['id']}", {}), 404, 405)


async def test_a_sign_in_to_the_dashboard_is_reported(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with ClientSession() as browser:
        for key in (merchant.key, operator.key, "esim_test_wrong"):
            await browser.post(operator.url + "/sign-in", data={"key": key}, allow_redirects=False)

    found = await entries(operator, action="dashboard.sign-in")
    assert [(one["actor"]["kind"], one["actor"]["name"], one["account"]) for one in found] == [
        ("merchant", "ci", merchant.account),
        ("operator", None, None),
    ]
