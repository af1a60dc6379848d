"""Recoveries: all that did not arrive at an endpoint is sent again, also what was raised while it was off."""

from datetime import UTC, datetime, timedelta

import pytest

from api import Api, Json, Merchant, eventually
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.store.database import Database
from receiver import Receiver
from web.routes import is_field, is_problem
from web.test_deliveries import a_caller, delivery_in_status, raised

LONG_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


async def recovered(caller: Api, merchant: Merchant, **filters: Json) -> Json:
    """Begin a recovery; return it as soon as it is finished."""
    path = f"/v1/endpoints/{merchant.endpoint}"
    begun = await caller.post(f"{path}/recover", {"from": LONG_AGO} | filters, status=202)

    async def finished() -> Json:
        state = await caller.get(f"{path}/recoveries/{begun['id']}")
        return state if state["finishedAt"] else None

    return await eventually(finished)


async def missed(caller: Api, merchant: Merchant, receiver: Receiver) -> dict[str, str]:
    """Have one event of each kind: arrived, failed, cancelled, and raised while the endpoint was off."""
    path = f"/v1/endpoints/{merchant.endpoint}"
    arrived = await raised(caller)
    await delivery_in_status(caller, arrived, "delivered")
    receiver.answer(status=500)
    await caller.call("PATCH", path, {"retrySchedule": [0]})
    failed = await raised(caller)
    await delivery_in_status(caller, failed, "failed")
    await caller.call("PATCH", path, {"retrySchedule": None})
    cancelled = await raised(caller)
    await receiver.wait_for(3)
    delivery = await delivery_in_status(caller, cancelled, "pending")
    await caller.post(f"/v1/deliveries/{delivery['id']}/cancel", status=200)
    await caller.post(f"{path}/disable", status=200)
    never = await raised(caller)
    receiver.answer(status=200)
    return {"delivered": arrived, "failed": failed, "cancelled": cancelled, "never": never}


async def test_what_the_endpoint_filters_out_is_not_counted(operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    path = f"/v1/endpoints/{merchant.endpoint}"
    async with operator.as_key(merchant.key) as caller:
        await caller.call("PATCH", path, {"filter": "event == 'esim.expired'"})
        await caller.post(f"{path}/disable", status=200)
        for event in ("esim.created", "esim.expired", "esim.created"):
            await caller.post("/v1/test-events", {"event": event})
        await caller.post(f"{path}/enable", status=200)

        counted = await caller.post(f"{path}/recover", {"from": LONG_AGO, "dryRun": True}, status=200)
        done = await recovered(caller, merchant)

    assert (counted["total"], counted["byStatus"]["never"]) == (1, 1)
    assert (done["total"], done["sent"]) == (1, 1)


async def test_what_did_not_arrive_is_sent_again_and_nothing_else(operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        events = await missed(caller, merchant, receiver)
        path = f"/v1/endpoints/{merchant.endpoint}"
        is_problem(await caller.call("POST", f"{path}/recover", {"from": LONG_AGO}), 409)
        await caller.post(f"{path}/enable", status=200)
        before = len(receiver.received)

        counted = await caller.post(f"{path}/recover", {"from": LONG_AGO, "dryRun": True}, status=200)
        assert counted["total"] == 2
        assert counted["byStatus"] == {"delivered": 1, "failed": 1, "stopped": 0, "cancelled": 1, "never": 1}
        assert len(receiver.received) == before

        done = await recovered(caller, merchant)
        assert (done["total"], done["seen"], done["sent"]) == (2, 4, 2)
        for event in (events["failed"], events["never"]):
            await delivery_in_status(caller, event, "delivered")
        assert (await recovered(caller, merchant))["sent"] == 0

    sent = {request.headers["webhook-id"] for request in receiver.received[before:]}
    assert sent == {events["failed"], events["never"]}


async def test_statuses_and_times_narrow_a_recovery(operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        events = await missed(caller, merchant, receiver)
        await caller.post(f"/v1/endpoints/{merchant.endpoint}/enable", status=200)

        nothing = await recovered(caller, merchant, to=(datetime.now(UTC) - timedelta(minutes=30)).isoformat())
        assert (nothing["total"], nothing["seen"]) == (0, 0)
        assert (await recovered(caller, merchant, statuses=["cancelled"]))["sent"] == 1
        await delivery_in_status(caller, events["cancelled"], "delivered")


async def test_an_example_that_was_sent_to_another_endpoint_is_not_recovered(operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        other = await caller.post("/v1/endpoints", {"url": receiver.url("/other")})
        sent = await caller.post(f"/v1/endpoints/{other['id']}/test", {"event": "esim.created"}, status=202)
        await delivery_in_status(caller, sent["event"], "delivered")

        assert (await recovered(caller, merchant))["total"] == 0


async def test_a_recovery_is_cancelled_by_its_own_endpoint_only_and_not_once_it_is_finished(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    merchant = await a_caller(operator, receiver)
    path = f"/v1/endpoints/{merchant.endpoint}"
    async with operator.as_key(merchant.key) as caller:
        await delivery_in_status(caller, await raised(caller), "delivered")
        async with database.transaction() as db:  # no step of it is made meanwhile
            await db.conn.execute("SELECT FROM endpoints FOR NO KEY UPDATE")
            begun = await caller.post(f"{path}/recover", {"from": LONG_AGO, "statuses": ["delivered"]}, status=202)
            other = f"/v1/endpoints/{text_of(Prefix.ENDPOINT, new_id())}/recoveries/{begun['id']}/cancel"
            is_problem(await caller.call("POST", other), 404)
            ended = await caller.post(f"{path}/recoveries/{begun['id']}/cancel", status=200)
        is_problem(await caller.call("POST", f"{path}/recoveries/{begun['id']}/cancel"), 409)
        shown = await caller.get(f"{path}/recoveries/{begun['id']}")
        entries = (await caller.get(f"/v1/audit?subject={begun['id']}"))["data"]

    assert shown == ended
    assert (ended["total"], ended["sent"], ended["problem"]) == (1, 0, "ended by a person")
    assert ended["finishedAt"]
    assert [entry["action"] for entry in entries] == ["recovery.cancel"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/from"),
        ({"from": "yesterday"}, "/from"),
        ({"from": "2999-01-01T00:00:00Z"}, "/from"),
        ({"from": LONG_AGO, "to": "2020-01-01T00:00:00Z"}, "/from"),
        ({"from": LONG_AGO, "statuses": []}, "/statuses"),
        ({"from": LONG_AGO, "statuses": ["pending"]}, "/statuses/0"),
    ],
)
async def test_limits_are_reported(body: Json, pointer: str, operator: Api, receiver: Receiver) -> None:
    merchant = await a_caller(operator, receiver)
    async with operator.as_key(merchant.key) as caller:
        is_field(await caller.call("POST", f"/v1/endpoints/{merchant.endpoint}/recover", body), pointer)
