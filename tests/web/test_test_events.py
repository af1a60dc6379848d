"""Test events agree with themselves and with the eSIM that they speak of, as events of business do."""

from datetime import UTC, datetime, timedelta

import pytest

from api import Api, Json, a_merchant
from esimhooks.vocabulary.events import EventType
from web.routes import is_field, is_problem
from web.rows import an_esim

TO_COME = {"expiredTime"}
ICCID = "8943000000123456785"


async def raised(caller: Api, event: str, **body: Json) -> Json:
    made = await caller.post("/v1/test-events", {"event": event} | body)
    return await caller.get(f"/v1/events/{made['id']}")


def times_of(data: Json) -> dict[str, datetime]:
    times = {
        name: value for name, value in data.items() if value and (name.endswith(("At", "Time", "lastUsageUpdate")))
    }
    return {name: datetime.fromisoformat(value) for name, value in times.items()}


@pytest.mark.parametrize("event", list(EventType))
async def test_every_test_event_agrees_with_itself_and_with_an_esim_that_exists(
    operator: Api, event: EventType
) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        made = await raised(caller, event)
        data = made["data"]
        esim = await caller.get(f"/v1/esims/{data['id']}")
        events = (await caller.get(f"/v1/esims/{data['id']}/events"))["data"]

    assert (made["event"], made["mode"], [one["id"] for one in events]) == (event, "test", [made["id"]])
    assert esim == data
    assert data["dataUsage"] + data["data_usage_remain"] == pytest.approx(data["totalVolume"])
    happened_at = datetime.fromisoformat(made["timestamp"])
    late = {name for name, at in times_of(data).items() if at > happened_at + timedelta(seconds=1)}
    assert late <= (TO_COME if event != EventType.EXPIRED else set())
    assert datetime.fromisoformat(data["createdAt"]) < happened_at
    for name, change in made["changes"].items():
        assert change["new"] == data[name] != change["old"]
    assert made.get("newStatus", data["esimStatus"]) == data["esimStatus"]
    assert ("previousStatus" in made) == ("newStatus" in made)


async def test_what_is_set_decides_and_the_rest_follows(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        used = await raised(caller, "esim.data_updated", data={"dataUsage": 900, "iccid": ICCID})
        polled = await raised(caller, "esim.usage_updated", data={"dataUsage": 900, "totalVolume": 1024})
        ended = await raised(caller, "esim.expired", data={"esimStatus": "USED_UP", "totalDuration": 7})

    assert [used["data"][name] for name in ("dataUsage", "data_usage_remain", "iccid")] == [900, 4220, ICCID]
    assert used["changes"]["dataUsage"] == {"old": 0, "new": 900}
    assert "iccid" not in used["changes"]
    assert polled["data"]["data_usage_remain"] == 124
    assert polled["changes"].keys() == {"dataUsage", "data_usage_remain", "lastUsageUpdate"}
    assert (ended["newStatus"], ended["reason"]) == ("USED_UP", "data_used_up")
    active = datetime.fromisoformat(ended["timestamp"]) - datetime.fromisoformat(ended["data"]["activateTime"])
    assert active == pytest.approx(timedelta(days=7), abs=timedelta(seconds=1))


async def test_an_esim_of_the_account_goes_one_step_further(operator: Api) -> None:
    merchant = await a_merchant(operator)
    esim = (await an_esim(operator, merchant.account, "test"))["esim"]
    async with operator.as_key(merchant.key) as caller:
        before = await caller.get(f"/v1/esims/{esim}")
        first = await raised(caller, "esim.requeried", esim=esim)
        second = await raised(caller, "esim.suspended", esim=esim)
        third = await caller.call("POST", "/v1/test-events", {"event": "esim.suspended", "esim": esim})
        after = await caller.get(f"/v1/esims/{esim}")

    assert first["data"]["transactionId"] == before["transactionId"]
    assert second["previousStatus"] == before["esimStatus"]
    assert second["sequence"] == first["sequence"] + 1
    assert after["esimStatus"] == "SUSPENDED"
    problem = is_problem(third, 409)
    assert problem["detail"] == "of an eSIM that is SUSPENDED the rules raise no event, not esim.suspended"


async def test_a_key_that_another_esim_has_is_refused(operator: Api) -> None:
    merchant = await a_merchant(operator)
    body = {"event": "esim.activated", "data": {"esimTranNo": "K-1"}}
    async with operator.as_key(merchant.key) as caller:
        await caller.post("/v1/test-events", body)
        again = await caller.call("POST", "/v1/test-events", body)

    is_field(again, "/data/esimTranNo", "a key that no other eSIM has")


async def test_data_from_which_another_event_follows_is_refused(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        body = {"event": "esim.activated", "data": {"esimStatus": "SUSPENDED"}}
        problem = is_problem(await caller.call("POST", "/v1/test-events", body), 409)
        esims = await caller.get("/v1/esims")

    assert problem["detail"] == "from this data the rules raise esim.suspended, not esim.activated"
    assert esims["data"] == []


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("dataUsag", 1, "it is no field of an eSIM"),
        ("updatedAt", "2026-11-23T10:00:00Z", "it follows from the others"),
        ("dataUsage", -1, "expected"),
        ("iccid", "12", "expected"),
        ("esimStatus", "GONE", "expected"),
        ("activateTime", "yesterday", "expected"),
        ("activateTime", "1999-12-31T23:59:59Z", "a time from 2000 to 2099"),
        ("totalDuration", 36_500, "expected"),
        ("totalDuration", True, "expected"),
    ],
)
async def test_a_field_that_cannot_be_set_is_named(operator: Api, field: str, value: Json, expected: str) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        body = {"event": "esim.activated", "data": {field: value}}
        is_field(await caller.call("POST", "/v1/test-events", body), f"/data/{field}", expected)


async def test_an_example_for_an_endpoint_is_as_of_now(operator: Api) -> None:
    merchant = await a_merchant(operator, webhook_url="https://hooks.example.com/esims")
    async with operator.as_key(merchant.key) as caller:
        sent = await caller.post(f"/v1/endpoints/{merchant.endpoint}/test", {"event": "esim.expired"}, status=202)
        event = await caller.get(f"/v1/events/{sent['event']}")

    now = datetime.now(UTC)
    assert max(times_of(event["data"]).values()) <= now + timedelta(seconds=1)
    assert now - datetime.fromisoformat(event["data"]["updatedAt"]) < timedelta(minutes=1)
