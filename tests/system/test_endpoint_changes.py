"""What was claimed and not begun does not go to an endpoint that was disabled, or to where it was before."""

import pytest

from api import Api, Json, a_merchant, eventually
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store.database import Database
from receiver import Receiver, status
from system.gated_answers import Gate, answered_after

pytestmark = [
    pytest.mark.slow(reason="an endpoint answers one request after the other, slowly"),
    pytest.mark.timeout(60),
]


async def test_what_was_claimed_is_not_sent_to_an_endpoint_that_was_disabled_meanwhile(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    gate = Gate()
    receiver.answer("/hook", script=[gate.answer])
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        endpoint = await caller.post("/v1/endpoints", {"url": receiver.url(), "maxInFlight": 1, "timeout": 30})
        for _ in range(3):
            await caller.post("/v1/test-events", {"event": "esim.activated"})
        await receiver.wait_for(1)

        await caller.post(f"/v1/endpoints/{endpoint['id']}/disable", status=200)

        async def released() -> bool:
            async with database.session() as db:
                waiting = await db.conn.fetchval("SELECT count(*) FROM queue WHERE claim_token = 0 AND claims = 0")
            return bool(waiting == 2)

        await eventually(released)
        gate.open()

        async def first_arrived() -> Json:
            return (await caller.get("/v1/deliveries?status=delivered"))["data"]

        await eventually(first_arrived)
        assert len(receiver.received) == 1
        await caller.post(f"/v1/endpoints/{endpoint['id']}/enable", status=200)
        await receiver.wait_for(3)


async def test_a_new_url_gets_what_was_claimed_for_the_old_one(operator: Api, receiver: Receiver) -> None:
    receiver.answer("/old", script=[answered_after(0.1)])
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        endpoint = await caller.post("/v1/endpoints", {"url": receiver.url("/old"), "maxInFlight": 1})
        for _ in range(12):
            await caller.post("/v1/test-events", {"event": "esim.activated"})
        await receiver.wait_for(1)
        await caller.call("PATCH", f"/v1/endpoints/{endpoint['id']}", {"url": receiver.url("/new")})
        at_once = len(receiver.received)

        await receiver.wait_for(12)

    paths = [request.path for request in receiver.received]
    assert paths.count("/old") <= at_once + 2  # the answer to the one in flight brings the change


async def test_what_a_receiver_said_is_kept_where_what_waits_behind_it_cannot_be_released(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    gate = Gate(status(410))
    receiver.answer("/hook", script=[gate.answer])
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        endpoint = await caller.post("/v1/endpoints", {"url": receiver.url(), "maxInFlight": 1, "timeout": 30})
        for _ in range(3):
            await caller.post("/v1/test-events", {"event": "esim.activated"})
        await receiver.wait_for(1)
        sent = parse_id(Prefix.EVENT, receiver.received[0].headers["webhook-id"])

        async with database.transaction() as other:

            async def is_held() -> bool:
                claimed = "SELECT FROM queue WHERE claim_token > 0 AND event_id <> $1 FOR UPDATE"
                return bool(await other.conn.fetch(claimed, sent))

            async def is_cut_off() -> bool:
                async with database.session() as db:
                    waiting = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted"
                    return bool(await db.conn.fetch(waiting))

            await eventually(is_held)
            gate.open()
            await eventually(is_cut_off)

        async def is_gone() -> bool:
            shown = await caller.get(f"/v1/endpoints/{endpoint['id']}")
            return bool(shown["disabledReason"] == "gone")

        await eventually(is_gone)
        [stopped] = (await caller.get("/v1/deliveries?status=stopped"))["data"]

    assert (stopped["attemptCount"], len(receiver.received)) == (1, 1)
