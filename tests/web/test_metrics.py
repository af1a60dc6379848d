"""Metrics as a monitoring system reads them: who may, and what is counted of a webhook's way."""

import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from pydantic import SecretStr

from api import Api, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store import lanes
from esimhooks.server.store.database import Database
from receiver import Receiver
from web.routes import is_problem

TOKEN = "a-token-of-the-monitoring-system-0001"


@pytest.fixture
async def monitored(settings: Settings) -> AsyncIterator[Api]:
    watched = settings.model_copy(update={"metrics_token": SecretStr(TOKEN)})
    async with running(watched) as node, Api(node.url, node.admin_key) as api:
        yield api


async def scraped(url: str, token: str) -> dict[str, float]:
    """Return the samples of one reading by their name with labels."""
    async with (
        ClientSession() as session,
        session.get(f"{url}/metrics", headers={"authorization": f"Bearer {token}"}) as answer,
    ):
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        lines = (await answer.text()).splitlines()
    return {
        name: float(value) for line in lines if not line.startswith("#") for name, _, value in [line.rpartition(" ")]
    }


async def test_the_token_reads_the_metrics_and_nothing_else(monitored: Api) -> None:
    assert "esimhooks_deliveries_pending" in await scraped(monitored.url, TOKEN)

    async with monitored.as_key(TOKEN) as monitoring:
        is_problem(await monitoring.call("GET", "/v1/accounts"), 401)


async def test_without_a_token_only_an_operator_reads_them(operator: Api) -> None:
    merchant = await a_merchant(operator)
    for key, status in (("", 401), (TOKEN, 401), (merchant.key, 403)):
        async with operator.as_key(key) as caller:
            is_problem(await caller.call("GET", "/metrics"), status)

    assert await scraped(operator.url, operator.key)


async def test_a_webhook_is_counted_from_its_update_to_its_outcome(monitored: Api, receiver: Receiver) -> None:
    before = await scraped(monitored.url, TOKEN)
    merchant = await a_merchant(monitored, webhook_url=receiver.url())
    update = {"transactionId": "t-1", "esimStatus": "IN_USE"}
    await monitored.post("/v1/updates", {"account": merchant.account, "mode": "test", "updates": [update]}, status=200)

    async def grown() -> dict[str, float]:
        after = await scraped(monitored.url, TOKEN)
        more = {name: value - before.get(name, 0) for name, value in after.items()}
        return more if more.get('esimhooks_deliveries_finished_total{status="delivered"}') else {}

    more = await eventually(grown)
    assert more['esimhooks_notifications_total{outcome="applied",source="updates"}'] == 1
    assert more['esimhooks_events_total{type="esim.activated"}'] == 1
    assert more['esimhooks_delivery_attempts_total{outcome="2xx"}'] == 1
    assert more["esimhooks_time_to_first_attempt_seconds_count"] == 1
    route = '{method="POST",route="/v1/updates",status="200"}'
    assert more[f"esimhooks_http_request_duration_seconds_count{route}"] == 1


async def test_addresses_that_do_not_exist_are_one_label(monitored: Api) -> None:
    for name in ("one", "two", "three"):
        await monitored.call("GET", f"/nothing/{name}")

    routes = {
        match[1] for name in await scraped(monitored.url, TOKEN) if (match := re.search(r'route="([^"]*)"', name))
    }
    assert "unmatched" in routes
    assert not any("nothing" in route for route in routes)


async def test_the_queue_is_shown_as_it_stands(database: Database) -> None:
    async with database.session() as db:
        for seconds in (90, -90):
            await db.conn.execute(
                """
                WITH account AS (INSERT INTO accounts VALUES (gen_random_uuid(), 'Acme', now(), now()) RETURNING id),
                endpoint AS (
                    INSERT INTO endpoints (id, account_id, mode, url, retry_schedule, timeout_s, max_in_flight, enabled,
                                           created_at, updated_at)
                    SELECT gen_random_uuid(), id, 'test', 'http://127.0.0.1', '{0}', 5, 20, true, now(), now()
                    FROM account RETURNING *
                ), lane AS (INSERT INTO lanes (endpoint_id, account_id) SELECT id, account_id FROM endpoint)
                INSERT INTO queue (delivery_id, account_id, endpoint_id, event_id, event_type, due_at)
                SELECT gen_random_uuid(), account_id, id, gen_random_uuid(), 'esim.created',
                       now() - make_interval(secs => $1)
                FROM endpoint
                """,
                seconds,
            )
        stats = await lanes.queue_stats(db)

    assert (stats.pending, stats.lanes_due, stats.lanes_cooling_down) == (2, 1, 0)
    assert 90 <= stats.oldest_due_s < 180
