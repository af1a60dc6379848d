"""A paused endpoint: nothing is sent, everything is kept, until it is resumed or its history is due to go."""

from datetime import UTC, datetime, timedelta

from api import Api, a_merchant
from esimhooks.server.domain.schedule import MAX_JITTER, STANDARD
from esimhooks.server.store import queue
from esimhooks.server.store.database import Database
from receiver import Receiver, status
from system.gated_answers import Gate
from system.stored_lanes import a_lane
from system.test_overdue import waited
from web.routes import is_problem
from web.test_deliveries import delivery_in_status, raised

KEPT = timedelta(days=30)
END = timedelta(seconds=sum(STANDARD) * (1 + MAX_JITTER)) + timedelta(hours=25)


async def test_events_are_queued_for_a_paused_endpoint_and_go_out_when_it_is_resumed(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    async with operator.as_key(merchant.key) as caller:
        path = f"/v1/endpoints/{merchant.endpoint}"
        paused = await caller.post(f"{path}/pause", status=200)
        assert (paused["paused"], paused["enabled"], paused["health"]["state"]) == (True, True, "paused")
        assert await caller.post(f"{path}/pause", status=200) == paused
        event = await raised(caller)
        waiting = await delivery_in_status(caller, event, "pending")
        assert waiting["attemptCount"] == 0
        other = await caller.post("/v1/endpoints", {"url": receiver.url("/other")})
        await delivery_in_status(
            caller, await raised(caller), "delivered"
        )  # the other one: the dispatcher had its turn
        assert {one.path for one in receiver.received} == {"/other"}
        assert (await caller.get(path))["health"]["waiting"] == 2

        resumed = await caller.post(f"{path}/resume", status=200)
        assert (resumed["paused"], resumed["health"]["nextAttemptAt"] is None) == (False, False)
        await delivery_in_status(caller, event, "delivered")
        assert other["paused"] is False


async def test_a_disabled_endpoint_cannot_be_paused_and_disabling_ends_a_pause(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    async with operator.as_key(merchant.key) as caller:
        path = f"/v1/endpoints/{merchant.endpoint}"
        await caller.post(f"{path}/pause", status=200)
        disabled = await caller.post(f"{path}/disable", status=200)
        assert (disabled["paused"], disabled["health"]["state"]) == (False, "disabled")
        is_problem(await caller.call("POST", f"{path}/pause"), 409)


async def test_an_answer_that_disables_a_paused_endpoint_ends_its_pause(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    gone = Gate(then=status(410))
    receiver.answer(script=[gone.answer, status()])
    async with operator.as_key(merchant.key) as caller:
        path = f"/v1/endpoints/{merchant.endpoint}"
        event = await raised(caller)
        await receiver.wait_for(1)
        await caller.post(f"{path}/pause", status=200)
        gone.open()
        await delivery_in_status(caller, event, "stopped")
        disabled = await caller.get(path)
        assert (disabled["disabledReason"], disabled["paused"]) == ("gone", False)

        enabled = await caller.post(f"{path}/enable", status=200)
        assert (enabled["enabled"], enabled["paused"]) == (True, False)
        await delivery_in_status(caller, await raised(caller), "delivered")


async def test_what_waits_behind_a_pause_is_kept_as_long_as_history_and_has_its_24_hours_after_it(
    database: Database,
) -> None:
    lane = await a_lane(database, due=2)
    old, older = lane.deliveries
    await waited(database, old.id, END)
    await waited(database, older.id, KEPT + timedelta(minutes=1))

    async def failed(**columns: object) -> int:
        async with database.transaction() as db:
            for name, value in columns.items():
                await db.conn.execute(f"UPDATE endpoints SET {name} = $1 WHERE id = $2", value, lane.endpoint_id)
            now = datetime.now(UTC)
            return len(await queue.fail_overdue(db, now=now, limit=9, retention=KEPT))

    assert await failed(paused=True) == 1
    assert await failed(paused=False, switched_at=datetime.now(UTC)) == 0
    assert await failed(switched_at=datetime.now(UTC) - END) == 1
