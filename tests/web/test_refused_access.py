"""Refused access leaves a trace and is limited: in the log, in the metrics, and in the audit log of the key's account."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from api import Api, Json, a_merchant, eventually
from esimhooks.server.api.limits import address_of, is_within, network_of
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.account import new_key
from esimhooks.vocabulary.statuses import Mode
from web.routes import is_problem
from web.test_metrics import scraped

TRIES = 5


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:50000", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:DB8:0::1]:50000", "2001:db8::1"),
        ('"[2001:db8::1]:50000"', "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:50000", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", "unknown"),
        ("", ""),
        ("203.0.113.9:50000:1", "203.0.113.9:50000:1"),
    ],
)
def test_an_address_has_one_spelling_with_and_without_a_port(text: str, address: str) -> None:
    assert address_of(text) == address
    assert network_of(text) == network_of(address)
    assert is_within(text, ("203.0.113.0/24", "2001:db8::/32")) is (address in ("203.0.113.9", "2001:db8::1"))


@asynccontextmanager
async def limited(settings: Settings, **changed: object) -> AsyncIterator[Api]:
    """A node that lets an address try five times a minute, behind one proxy."""
    few = settings.model_copy(update={"tries_address": TRIES, "trusted_proxies": 1} | changed)
    async with running(few) as node, Api(node.url, node.admin_key) as api:
        yield api


async def refused_total(api: Api) -> Mapping[str, float]:
    sampled = await scraped(api.url, api.key)
    return {
        name.partition('"')[2].partition('"')[0]: value
        for name, value in sampled.items()
        if name.startswith("esimhooks_refused_total{")
    }


async def statuses(api: Api, what: str, *, sender: str, number: int) -> list[int]:
    """Try something wrong so many times; return the statuses."""
    headers = {"x-forwarded-for": sender}

    async def tried(index: int) -> int:
        if what == "key":
            async with api.as_key(new_key(Mode.TEST)) as stranger:
                return (await stranger.call("GET", "/v1/esims", x_forwarded_for=sender)).status
        async with ClientSession(headers=headers) as session:
            match what:
                case "sign-in":
                    call = session.post(api.url + "/sign-in", data={"key": f"wrong{index}"})
                case "inbound":
                    call = session.post(f"{api.url}/providers/upstream/{index}", data=b"{}")
                case _:
                    call = session.get(f"{api.url}/qr/esim_01jd3v8k5fe8ya3q8r0m2n6x7{index % 10}/x.png")
            async with call as answer:
                return answer.status

    return list(await asyncio.gather(*(tried(index) for index in range(number))))


@pytest.mark.parametrize(("what", "status"), [("key", 401), ("sign-in", 401), ("inbound", 401), ("picture", 404)])
async def test_wrong_credentials_are_counted_logged_once_and_limited_by_address(
    what: str, status: int, settings: Settings
) -> None:
    async with limited(settings) as api:
        before = await refused_total(api)
        with capture_logs() as lines:
            # A gateway that names the port of each connection does not make each another address.
            first = await statuses(api, what, sender="203.0.113.9:50001", number=TRIES)
            more = await statuses(api, what, sender="203.0.113.9:50002", number=10)
            other = await statuses(api, what, sender="203.0.113.10", number=1)
        after = await refused_total(api)

    assert first == [status] * TRIES
    assert more.count(429) >= 8
    assert other == [status]
    assert after[what] - before.get(what, 0) == 15 - more.count(429) + 1
    logged = [line["address"] for line in lines if line["event"] == "access.refused"]
    assert [one for one in logged if one.startswith("203.")] == ["203.0.113.9", "203.0.113.10"]


async def test_all_that_an_address_tries_counts_together_and_what_was_right_goes_on(settings: Settings) -> None:
    async with limited(settings) as api:
        merchant, late = await a_merchant(api), await a_merchant(api)
        sender = "203.0.113.9"
        async with api.as_key(merchant.key) as known, api.as_key(late.key) as new:
            assert (await known.call("GET", "/v1/esims", x_forwarded_for=sender)).status == 200
            for what in ("key", "sign-in", "inbound", "picture", "key"):
                assert await statuses(api, what, sender=sender, number=1) in ([401], [404])
            problem = is_problem(await new.call("GET", "/v1/esims", x_forwarded_for=sender), 429)
            assert problem["code"] == "TOO_MANY_TRIES"

            assert (await known.call("GET", "/v1/esims", x_forwarded_for=sender)).status == 200
            assert (await new.call("GET", "/v1/esims", x_forwarded_for="203.0.113.10")).status == 200
            assert (await new.call("GET", "/v1/esims", x_forwarded_for=sender)).status == 200


async def test_a_caller_may_begin_with_many_connections(settings: Settings) -> None:
    async with limited(settings) as api:
        merchant = await a_merchant(api)
        sender = "203.0.113.9"
        async with api.as_key(merchant.key) as known:
            calls = [known.call("GET", "/v1/esims", x_forwarded_for=sender) for _ in range(4 * TRIES)]
            answers = await asyncio.gather(*calls)

        assert {answer.status for answer in answers} == {200}
        assert await statuses(api, "key", sender=sender, number=TRIES) == [401] * TRIES


async def test_one_wrong_credential_at_once_is_limited_as_several_are(settings: Settings) -> None:
    async with limited(settings) as api, api.as_key(new_key(Mode.TEST)) as stranger:
        sender = "203.0.113.9"
        calls = [stranger.call("GET", "/v1/esims", x_forwarded_for=sender) for _ in range(2 * TRIES)]
        answers = await asyncio.gather(*calls)

        assert {answer.status for answer in answers} <= {401, 429}
        assert await statuses(api, "key", sender=sender, number=1) == [429]


async def refusals(api: Api, account: str) -> list[Json]:
    found: list[Json] = (await api.get(f"/v1/audit?account={account}&action=access.refuse"))["data"]
    return found


async def test_a_known_key_that_is_refused_is_in_its_accounts_audit_log_once_a_minute(settings: Settings) -> None:
    async with limited(settings, tries_address=0) as api:
        merchant = await a_merchant(api)
        path = f"/v1/accounts/{merchant.account}/keys"
        made = await api.post(path, {"mode": "test", "name": "shop", "allowedIps": ["203.0.113.0/24"]})
        async with api.as_key(made["key"]) as caller:
            for _ in range(3):
                is_problem(await caller.call("GET", "/v1/esims", x_forwarded_for="198.51.100.7:4711"), 403)
            await eventually(lambda: refusals(api, merchant.account))
            is_problem(await caller.call("GET", "/v1/esims", x_forwarded_for="198.51.100.8"), 403)

            async def both() -> bool:
                return len(await refusals(api, merchant.account)) == 2

            await eventually(both)
            seen = (await caller.call("GET", "/v1/audit?action=access.refuse", x_forwarded_for="203.0.113.1")).body

    assert [one["address"] for one in seen["data"]] == ["198.51.100.8", "198.51.100.7"]
    assert {one["subject"] for one in seen["data"]} == {made["id"]}
    assert seen["data"][0]["actor"]["name"] == "shop"
    assert "from this address" in seen["data"][0]["changes"]["refused"]["new"]


async def test_a_role_that_does_not_suffice_is_in_the_audit_log_too(operator: Api) -> None:
    merchant = await a_merchant(operator)
    path = f"/v1/accounts/{merchant.account}/keys"
    made = await operator.post(path, {"mode": "test", "name": "bi", "role": "read"})
    async with operator.as_key(made["key"]) as caller:
        is_problem(await caller.call("POST", "/v1/endpoints", {"url": "https://shop.example/"}), 403)

    [entry] = await eventually(lambda: refusals(operator, merchant.account))
    assert entry["changes"]["request"]["new"] == "POST /v1/endpoints"
    assert (await refused_total(operator))["role"] >= 1
