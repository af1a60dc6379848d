"""Filters of endpoints: an expression over an event, checked when it is saved, tried beforehand, applied in every fan-out."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import Api, Json, eventually
from esimhooks.server.domain.endpoint_rules import EventBody, require_filter
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.expression import MAX_CHARACTERS
from esimhooks.server.store.database import Database
from receiver import Receiver
from upstream import Shop, a_shop
from web.routes import is_field

EUROPE = "data.packageCode == 'EU1'"


async def endpoint(shop: Shop, url: str, **fields: Json) -> Json:
    body = {"url": url, "retrySchedule": [0]} | fields
    return await shop.operator.post(f"/v1/endpoints?account={shop.account}&mode=test", body)


async def deliveries(shop: Shop, endpoint_id: str) -> list[str]:
    """Return the types of the events that were meant for an endpoint, oldest first."""
    path = f"/v1/deliveries?account={shop.account}&mode=test&endpoint={endpoint_id}&limit=100"
    return [one["eventType"] for one in (await shop.operator.get(path))["data"]][::-1]


async def lives(shop: Shop, *packages: str) -> None:
    """Make an eSIM of each package, in use at once."""
    for number, package in enumerate(packages):
        await shop.update({"transactionId": f"t-{number}", "packageCode": package, "esimStatus": "IN_USE"})


async def test_an_endpoint_gets_only_events_for_which_its_filter_holds(operator: Api, receiver: Receiver) -> None:
    shop = await a_shop(operator)
    some = await endpoint(shop, receiver.url(), filter=EUROPE)
    every = await endpoint(shop, receiver.url())

    await lives(shop, "EU1", "US1", "EU1")

    assert await deliveries(shop, some["id"]) == ["esim.activated"] * 2
    assert await deliveries(shop, every["id"]) == ["esim.activated"] * 3


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("data.packageCode == 'EU1'", True),
        ("data.esimStatus != 'IN_USE'", False),
        ("newStatus == 'IN_USE' && !previousStatus", True),
        ("contains(data.packageCode, 'EU')", True),
        ("changes.dataUsage", False),
        ("thresholds[?@ >= `90`]", False),
        ("data.metadata.shop == 'paris'", True),
        ("mode", True),
    ],
)
async def test_a_filter_sees_the_whole_event(operator: Api, receiver: Receiver, text: str, *, passes: bool) -> None:
    shop = await a_shop(operator)
    made = await endpoint(shop, receiver.url(), filter=text)

    await shop.update(
        {"transactionId": "t", "packageCode": "EU1", "esimStatus": "IN_USE", "metadata": {"shop": "paris"}}
    )

    assert len(await deliveries(shop, made["id"])) == int(passes)


@pytest.mark.slow(reason="waits for a step of the fan-out")
async def test_filters_hold_where_deliveries_are_made_after_the_commit(operator: Api, receiver: Receiver) -> None:
    shop = await a_shop(operator)
    for _ in range(20):
        await endpoint(shop, receiver.url(), eventTypes=["esim.requeried"])
    some = await endpoint(shop, receiver.url(), filter=EUROPE)
    last = await endpoint(shop, receiver.url())

    await lives(shop, "EU1", "US1")

    async def made() -> bool:
        return len(await deliveries(shop, last["id"])) == 2

    await eventually(made)
    assert await deliveries(shop, some["id"]) == ["esim.activated"]


async def test_a_filter_is_shown_changed_and_taken_away(operator: Api, receiver: Receiver) -> None:
    shop = await a_shop(operator)
    made = await endpoint(shop, receiver.url(), filter=EUROPE)
    path = f"/v1/endpoints/{made['id']}?account={shop.account}&mode=test"
    assert made["filter"] == EUROPE

    changed = await operator.call("PATCH", path, {"filter": "mode"})
    without = await operator.call("PATCH", path, {"filter": None})

    assert (changed.body["filter"], without.body["filter"]) == ("mode", None)
    await lives(shop, "US1")
    assert await deliveries(shop, made["id"]) == ["esim.activated"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data.", "JMESPath"),
        ("data[", "JMESPath"),
        ("sort_by(data.plans, &id)", "expected"),
        ("to_number(data.iccid)", "only the functions"),
        ("{a: data}", "expected no"),
        ("a" * (MAX_CHARACTERS + 1), "300"),
        ("data.\u0007", "control characters"),
        ("!" * 50 + "mode", "levels"),
        ("", "characters"),
    ],
)
async def test_what_is_no_filter_is_refused_when_it_is_saved(
    operator: Api, receiver: Receiver, text: str, words: str
) -> None:
    shop = await a_shop(operator)
    query = f"account={shop.account}&mode=test"

    made = await operator.call("POST", f"/v1/endpoints?{query}", {"url": receiver.url(), "filter": text})
    tried = await operator.call("POST", f"/v1/endpoints/test-filter?{query}", {"filter": text})

    is_field(made, "/filter", words)
    is_field(tried, "/filter", words)


async def test_a_filter_is_tried_on_the_newest_events_before_it_is_saved(operator: Api) -> None:
    shop = await a_shop(operator)
    await lives(shop, "EU1", "US1", "EU1")
    path = f"/v1/endpoints/test-filter?account={shop.account}&mode=test"

    found = await operator.post(path, {"filter": EUROPE}, status=200)
    newest = await operator.post(path, {"filter": EUROPE, "last": 2, "eventTypes": ["esim.expired"]}, status=200)

    assert (found["tested"], found["passing"]) == (3, 2)
    assert [one["passes"] for one in found["events"]] == [True, False, True]
    assert [one["event"] for one in found["events"]] == ["esim.activated"] * 3
    assert (newest["tested"], newest["passing"]) == (2, 0)


async def test_no_answer_is_kept_of_a_filter_that_was_only_tried(operator: Api, database: Database) -> None:
    shop = await a_shop(operator)
    path = f"/v1/endpoints/test-filter?account={shop.account}&mode=test"

    answer = await operator.call("POST", path, {"filter": EUROPE}, idempotency_key="one")

    assert answer.status == 200
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM idempotent_answers") == 0


async def test_a_recovery_sends_only_what_the_filter_lets_through(operator: Api, receiver: Receiver) -> None:
    shop = await a_shop(operator)
    made = await endpoint(shop, receiver.url(), filter=EUROPE)
    query = f"account={shop.account}&mode=test"
    await operator.post(f"/v1/endpoints/{made['id']}/disable?{query}", status=200)
    await lives(shop, "EU1", "US1")
    await operator.post(f"/v1/endpoints/{made['id']}/enable?{query}", status=200)
    since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()

    await operator.call("POST", f"/v1/endpoints/{made['id']}/recover?{query}", {"from": since})

    async def sent() -> bool:
        return len(await deliveries(shop, made["id"])) > 0

    await eventually(sent)
    assert await deliveries(shop, made["id"]) == ["esim.activated"]


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    with suppress(Refused):
        require_filter(text)
        EventBody(b'{"data": {"plans": [{"id": "1"}]}}').passes(text)


def test_a_filter_that_takes_too_many_steps_lets_the_event_through() -> None:
    body = b'{"data": {"plans": [' + b",".join([b'{"id": "1"}'] * 60_000) + b"]}}"

    assert EventBody(body).passes("data.plans[?id == '2']")
