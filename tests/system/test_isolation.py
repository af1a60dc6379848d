"""One endpoint does not make another wait (product, promise 6), and nobody gets more at a time than agreed."""

import asyncio
from time import monotonic

import pytest

from api import Api, Merchant, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from receiver import Receiver
from system.gated_answers import Gate
from system.sent_webhooks import an_endpoint, an_event, in_status

pytestmark = [
    pytest.mark.slow(reason="makes thousands of deliveries, on a machine that may be busy"),
    pytest.mark.timeout(60),
]

BATCH = 500


async def flood(operator: Api, merchant: Merchant, count: int) -> None:
    """Create so many eSIMs, and so a delivery of `esim.created` each."""
    for first in range(0, count, BATCH):
        updates = [
            {"transactionId": f"flood-{number}", "esimTranNo": f"F{number}", "esimStatus": "CREATED"}
            for number in range(first, min(first + BATCH, count))
        ]
        await operator.post(
            "/v1/updates", {"account": merchant.account, "mode": "test", "updates": updates}, status=200
        )


async def test_an_endpoint_that_hangs_does_not_delay_another(operator: Api, receiver: Receiver) -> None:
    hanging = Gate()
    receiver.answer("/hanging", script=[hanging.answer])
    flooded = await a_merchant(operator)
    neighbour = await a_merchant(operator, webhook_url=receiver.url("/quick"))
    async with operator.as_key(flooded.key) as bad, operator.as_key(neighbour.key) as good:
        await an_endpoint(bad, receiver.url("/hanging"), timeout=30)
        quiet_s = await _seconds_for(good)

        await flood(operator, flooded, 100)
        await eventually(lambda: _hold(hanging, 20))
        beside_the_flood_s = await _seconds_for(good)

        assert hanging.open_requests == 20
        assert beside_the_flood_s < 10 * quiet_s
        hanging.open()
        await _until_nothing_is_pending(bad)


async def test_the_caps_of_process_and_lane_hold_and_are_used(settings: Settings, receiver: Receiver) -> None:
    capped = settings.model_copy(update={"max_in_flight": 10, "max_in_flight_lane": 4})
    gates = {f"/{name}": Gate() for name in "abc"}
    async with running(capped) as node, Api(node.url, node.admin_key) as operator:
        merchant = await a_merchant(operator)
        async with operator.as_key(merchant.key) as api:
            for path, gate in gates.items():
                receiver.answer(path, script=[gate.answer])
                await an_endpoint(api, receiver.url(path), timeout=30)
            await flood(operator, merchant, 30)
            await receiver.wait_for(9)  # one slot in ten is for accounts below their share
            at_first = [gate.open_requests for gate in gates.values()]

            gates["/a"].open()
            await receiver.wait_for(30 + 2 * 4)
            await eventually(lambda: _is_idle(gates["/a"]))
            without_a = [gate.open_requests for gate in gates.values()]
            for gate in gates.values():
                gate.open()
            await receiver.wait_for(90)
            await _until_nothing_is_pending(api)

    assert sum(at_first) == 9
    assert without_a == [0, 4, 4]
    assert max(gate.peak for gate in gates.values()) == 4


@pytest.mark.parametrize("own_max", [2, 30])
async def test_an_endpoint_may_have_a_cap_of_its_own_below_or_above_the_default(
    operator: Api, receiver: Receiver, own_max: int
) -> None:
    gate = Gate()
    receiver.answer(script=[gate.answer])
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as api:
        await an_endpoint(api, receiver.url(), timeout=30, maxInFlight=own_max)
        await flood(operator, merchant, 100)

        await eventually(lambda: _hold(gate, own_max))
        gate.open()
        await receiver.wait_for(100)
        await _until_nothing_is_pending(api)

    assert gate.peak == own_max


async def _hold(gate: Gate, count: int) -> bool:
    return gate.open_requests >= count


async def _is_idle(gate: Gate) -> bool:
    return gate.open_requests == 0


async def _seconds_for(merchant: Api) -> float:
    """Return how long twenty events take, one after the other, from raising to delivered."""
    began = monotonic()
    for _ in range(20):
        await in_status(merchant, await an_event(merchant), "delivered")
    return monotonic() - began


async def _until_nothing_is_pending(merchant: Api) -> None:
    async def none_pending() -> bool:
        return not (await merchant.get("/v1/deliveries?status=pending"))["data"]

    await eventually(none_pending)


async def test_requests_of_one_account_that_wait_leave_connections_to_others(
    settings: Settings, database: Database
) -> None:
    few = settings.model_copy(update={"database_connections": 5})
    async with running(few) as node, Api(node.url, node.admin_key) as operator:
        slow, quick = await a_merchant(operator), await a_merchant(operator)
        async with operator.as_key(slow.key) as waiting, operator.as_key(quick.key) as other:
            endpoint = await waiting.post("/v1/endpoints", {"url": "https://shop.example/hook"})
            async with database.transaction() as db:
                await db.conn.execute("SELECT FROM endpoints FOR UPDATE")
                path = f"/v1/endpoints/{endpoint['id']}/disable"
                stuck = [asyncio.create_task(waiting.call("POST", path)) for _ in range(10)]

                async def wait_for_the_lock() -> bool:
                    count = await db.conn.fetchval("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
                    return bool(count >= 2)

                await eventually(wait_for_the_lock)
                answers = [await other.call("GET", "/v1/endpoints") for _ in range(5)]
            disabled = await asyncio.gather(*stuck)

    assert {one.status for one in answers} == {200}
    assert {one.status for one in disabled} == {200}
