"""Operator and merchant hear early of an endpoint that fails, and of its recovery; the failing endpoint itself does not."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from pydantic import SecretStr

from api import Api, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from receiver import Receiver

pytestmark = [pytest.mark.slow(reason="waits for a job that runs every ten seconds"), pytest.mark.timeout(90)]


@pytest.fixture
async def ops() -> AsyncIterator[Receiver]:
    """The operator's receiver."""
    async with Receiver() as listening:
        yield listening


async def test_failing_and_recovered_are_emitted_to_the_operator_and_to_the_endpoints_that_name_them(
    settings: Settings, receiver: Receiver, ops: Receiver, database: Database
) -> None:
    receiver.answer("/shop", status=500)
    listening = settings.model_copy(update={"operational_url": SecretStr(ops.url("/ops"))})
    async with running(listening) as node, Api(node.url, node.admin_key) as api:
        merchant = await a_merchant(api)
        async with api.as_key(merchant.key) as caller:
            asks = ["esim.activated", "endpoint.*"]
            made = await caller.post(
                "/v1/endpoints", {"url": receiver.url("/shop"), "retrySchedule": [0, 3600], "eventTypes": asks}
            )
            await caller.post("/v1/endpoints", {"url": receiver.url("/alerts"), "eventTypes": ["endpoint.failing"]})
            await caller.post("/v1/endpoints", {"url": receiver.url("/esims"), "eventTypes": ["esim.*"]})
            await caller.post("/v1/test-events", {"event": "esim.activated"})

            async def failing() -> bool:
                return bool((await caller.get(f"/v1/endpoints/{made['id']}"))["health"]["state"] == "failing")

            await eventually(failing)
            async with database.session() as db:
                await db.conn.execute(
                    "UPDATE lanes SET failing_since = now() - interval '4 min' WHERE failing_since IS NOT NULL"
                )
            [alert] = await ops.wait_for(1)
            receiver.answer("/shop", status=200)
            await caller.post(f"/v1/endpoints/{made['id']}/send-now", status=202)
            _, recovered = await ops.wait_for(2)
            mine = await eventually(lambda: heard(receiver, "/alerts"))

    body = msgspec.json.decode(alert.body)
    assert (body["event"], body["data"]["endpoint"]) == ("endpoint.failing", made["id"])
    assert (body["data"]["failures"], body["data"]["outcome"], body["data"]["statusCode"]) == (1, "5xx", 500)
    assert msgspec.json.decode(recovered.body)["event"] == "endpoint.recovered"
    assert mine == ["endpoint.failing"]
    assert await heard(receiver, "/esims") == ["esim.activated"]
    assert set(await heard(receiver, "/shop")) == {"esim.activated"}


async def heard(receiver: Receiver, path: str) -> list[str]:
    return [one.headers["webhook-event"] for one in receiver.received if one.path == path]
