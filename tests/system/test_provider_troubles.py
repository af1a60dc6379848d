"""Operational events about providers: credentials refused, a balance that is low, and silence."""

import hashlib
import hmac
import json

import pytest
from aiohttp import web

from api import Api, Json, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from providers.test_esimaccess_http import serving
from providers.test_esimgo_api import Fake
from receiver import Receiver
from system.test_operational import ops, telling, verified  # noqa: F401 - fixtures
from upstream import a_shop, moved

pytestmark = [pytest.mark.slow(reason="runs a node and waits for a round of its loops"), pytest.mark.timeout(90)]


async def reported(receiver: Receiver, kind: str, number: int = 1) -> list[Json]:
    """Return the operational events of a kind once there are so many."""

    async def found() -> list[Json]:
        bodies = [verified(one) for one in receiver.received]
        some = [one for one in bodies if one["event"] == kind]
        return some if len(some) >= number else []

    return list(await eventually(found))


async def go(api: Api, base_url: str, key: str) -> str:
    config = {"kind": "esimgo", "baseUrl": base_url, "credentials": {"apiKey": key}}
    path: str = (await api.put("/v1/providers/upstream", config))["inboundUrl"].removeprefix(api.url)
    return path


async def test_refused_credentials_are_reported_once_until_they_are_taken(
    telling: Settings,  # noqa: F811
    ops: Receiver,  # noqa: F811
    database: Database,
) -> None:
    fake = Fake()
    async with running(telling) as node, Api(node.url, node.admin_key) as api, serving(fake.answer) as base_url:
        shop = await a_shop(api)
        await go(api, base_url, "api-key-2")
        await shop.order("t-1", orderNo="ref-1")
        await moved(database, "orders", "next_poll_at")

        [event] = await reported(ops, "provider.refused")
        assert event["data"]["provider"] == "upstream"
        assert event["data"]["detail"] == "HTTP 403: access denied for ***"

        await go(api, base_url, "api-key-1")
        await moved(database, "orders", "next_poll_at")
        await shop.raised_in_time("activated", "data_updated")

        async def over() -> bool:
            async with database.session() as db:
                return not await db.conn.fetchval("SELECT count(*) FROM provider_troubles")

        assert await eventually(over)


async def test_a_low_balance_is_reported_once_a_day(
    telling: Settings,  # noqa: F811
    ops: Receiver,  # noqa: F811
    database: Database,
) -> None:
    body = json.dumps({"alertType": "LowBalance"}).encode()
    proof = hmac.new(b"api-key-1", body, hashlib.sha256).hexdigest()
    async with running(telling) as node, Api(node.url, node.admin_key) as api:
        inbound = await go(api, "https://api.example.com", "api-key-1")

        for _ in range(2):
            answer = await api.raw("POST", inbound, body, x_signature_sha256=proof)
            assert answer.body["outcome"] == "ignored"

        [event] = await reported(ops, "provider.balance")
        assert event["data"]["detail"] == "LowBalance"

        async with database.transaction() as db:
            await db.conn.execute("UPDATE provider_troubles SET since = since - interval '25 hours'")
        await api.raw("POST", inbound, body, x_signature_sha256=proof)
        assert len(await reported(ops, "provider.balance", 2)) == 2


async def test_a_provider_that_is_silent_for_far_longer_than_usual_is_reported_once(
    telling: Settings,  # noqa: F811
    ops: Receiver,  # noqa: F811
    database: Database,
) -> None:
    async with running(telling) as node, Api(node.url, node.admin_key) as api:
        made = await api.put("/v1/providers/upstream", {"kind": "esimaccess"})
        inbound = made["inboundUrl"].removeprefix(api.url)
        for _ in range(25):
            await api.call("POST", inbound, {"notifyType": "CHECK_HEALTH"})
        async with database.transaction() as db:
            await db.conn.execute(
                """
                UPDATE notifications SET received_at = now() - interval '10 hours' + make_interval(mins => n::integer)
                FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM notifications) o WHERE o.id = notifications.id
                """
            )
    async with running(telling):
        [event] = await reported(ops, "provider.silent")
        assert event["data"]["provider"] == "upstream"


async def test_without_an_answer_nothing_is_refused(
    telling: Settings,  # noqa: F811
    ops: Receiver,  # noqa: F811
    database: Database,
) -> None:
    async def away(request: web.Request) -> web.StreamResponse:
        return web.Response(status=502)

    async with running(telling) as node, Api(node.url, node.admin_key) as api, serving(away) as base_url:
        shop = await a_shop(api)
        await go(api, base_url, "api-key-1")
        await shop.order("t-1", orderNo="ref-1")
        await moved(database, "orders", "next_poll_at")

        async def polled() -> bool:
            async with database.session() as db:
                return bool(await db.conn.fetchval("SELECT polls > 0 FROM orders"))

        await eventually(polled)
        async with database.session() as db:
            assert await db.conn.fetchval("SELECT count(*) FROM provider_troubles") == 0
