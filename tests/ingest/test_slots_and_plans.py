"""Orders of several, failure, replacement, top-ups, plans and further members, over the API."""

import pytest

from api import Api, Json, eventually
from esimhooks.server.store.database import Database
from upstream import Shop, Upstream, a_shop, an_upstream, esim_status

PROFILE = "890000000000000000{}"


def update(index: int, **fields: object) -> Json:
    return {"transactionId": "t-1", "esimTranNo": f"K{index}", "iccid": PROFILE.format(index)} | fields


async def test_the_operators_updates_fill_the_places_of_an_order(operator: Api) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)
    await shop.order("t-1", orderNo="B1", quantity=2)

    results = await shop.update(*[update(index, esimStatus="CREATED") for index in (1, 2, 3)])

    assert [result["outcome"] for result in results] == ["applied", "applied", "unmatched"]
    assert [(esim["esimTranNo"], esim["esimStatus"]) for esim in await shop.esims()] == [
        ("K1", "CREATED"),
        ("K2", "CREATED"),
    ]
    assert await shop.raised() == ["created", "created"]


async def test_push_and_updates_share_the_places_of_an_order(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1", quantity=3)

    await shop.update(update(1, esimStatus="CREATED"))
    await upstream.notify(esim_status("K2", "GOT_RESOURCE", orderNo="B1", iccid=PROFILE.format(2)))
    await shop.update({"orderNo": "B1", "iccid": PROFILE.format(3), "esimStatus": "IN_USE"})
    await upstream.notify(esim_status("K2", "IN_USE", orderNo="B1", iccid=PROFILE.format(2)))

    found = [(esim["esimTranNo"], esim["iccid"][-1], esim["esimStatus"]) for esim in await shop.esims()]
    assert found == [("K1", "1", "CREATED"), ("K2", "2", "IN_USE"), (None, "3", "IN_USE")]


async def test_an_update_that_names_its_provider_is_found_by_that_providers_notifications(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    [made] = await shop.update(update(1, esimStatus="CREATED", provider="upstream"))

    answer = await upstream.notify(esim_status("K1", "IN_USE"))

    assert (answer.body["outcome"], answer.body["esim"]) == ("applied", made["esim"])


async def test_an_order_that_fails_is_emitted_with_the_providers_words(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1", quantity=2)

    await upstream.notify({"notifyType": "ORDER_STATUS", "content": {"orderNo": "B1", "orderStatus": "FAIL"}})

    await shop.raised_in_time("status_changed", "status_changed")
    events = await shop.events()
    assert {(event["newStatus"], "FAIL" in event["reason"]) for event in events} == {("FAILED", True)}


async def test_a_top_up_is_emitted_at_once_with_what_was_added(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update(update(1, esimStatus="IN_USE", totalVolume=1024, dataUsage=900))
    before = len(await shop.events())

    await shop.update(update(1, totalVolume=4096, topUp={"transactionId": "top-1", "packageCode": "P3"}))

    [event] = (await shop.events())[before:]
    assert event["event"] == "esim.data_updated"
    assert event["topUp"] == {"transactionId": "top-1", "packageCode": "P3", "addedVolume": 3072}
    assert event["changes"]["totalVolume"] == {"old": 1024, "new": 4096}


async def test_another_profile_under_the_same_key_changes_as_a_whole(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update(update(1, esimStatus="IN_USE", ac="LPA:1$a$1", eid="89049032000001000001234567890111"))

    await shop.update({"transactionId": "t-1", "esimTranNo": "K1", "iccid": PROFILE.format(9), "ac": "LPA:1$a$9"})

    [esim] = await shop.esims()
    assert (esim["iccid"], esim["ac"], esim["eid"]) == (PROFILE.format(9), "LPA:1$a$9", None)
    event = (await shop.events())[-1]
    assert event["event"] == "esim.status_changed"
    assert event["changes"]["iccid"] == {"old": PROFILE.format(1), "new": PROFILE.format(9)}
    assert "newStatus" not in event


async def test_a_new_key_that_replaces_another_is_a_second_esim(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update(update(1, esimStatus="IN_USE"))

    await shop.update(update(2, esimStatus="CREATED", replaces="K1"))

    old, new = await shop.esims()
    assert (old["esimStatus"], old["replacedBy"], new["replaces"]) == ("REVOKED", new["id"], old["id"])
    events = {event["event"]: event for event in (await shop.events())[1:]}
    assert events["esim.suspended"]["reason"] == "replaced"
    assert events["esim.suspended"]["data"]["id"] == old["id"]
    assert events["esim.created"]["replaces"] == old["id"]


async def test_unlimited_is_not_empty(operator: Api) -> None:
    shop = await a_shop(operator)

    await shop.update(update(1, esimStatus="IN_USE", unlimited=True, dataUsage=500))

    [esim] = await shop.esims()
    assert (esim["unlimited"], esim["totalVolume"], esim["data_usage_remain"], esim["dataUsage"]) == (
        True,
        None,
        None,
        500,
    )


async def test_several_plans_are_summed_and_each_has_its_own_thresholds(operator: Api) -> None:
    shop = await a_shop(operator)
    first = {"id": "p1", "state": "active", "totalVolume": 1000, "dataUsage": 0, "expiredTime": "2027-01-01T00:00:00Z"}
    second = {"id": "p2", "state": "active", "totalVolume": 500, "dataUsage": 0, "expiredTime": "2027-02-01T00:00:00Z"}
    await shop.update(update(1, esimStatus="IN_USE", plans=[first]))

    await shop.update(update(1, plans=[second]))
    await shop.update(update(1, plans=[second | {"dataUsage": 300}]))

    [esim] = await shop.esims()
    assert (esim["totalVolume"], esim["dataUsage"], esim["expiredTime"]) == (1500, 300, "2027-02-01T00:00:00.000Z")
    assert [plan["id"] for plan in esim["plans"]] == ["p1", "p2"]
    added, crossed = (await shop.events())[1:3]
    assert (added["planId"], added["topUp"]["addedVolume"]) == ("p2", 500)
    assert (crossed["planId"], crossed["thresholds"]) == ("p2", [25, 50])


async def test_what_the_operator_puts_on_an_order_comes_with_every_event(operator: Api) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)
    order = await shop.order("t-1", orderNo="B1", metadata={"customer": "c-1"})

    await shop.update(update(1, esimStatus="CREATED"))

    assert order["metadata"] == {"customer": "c-1"}
    [event] = await shop.events()
    assert event["data"]["metadata"] == {"customer": "c-1"}


@pytest.mark.parametrize("further", [{}, {"totalVolume": 2000}])
async def test_the_end_of_validity_outlives_an_older_report(operator: Api, further: Json) -> None:
    shop = await a_shop(operator)
    at = "2026-03-01T{}:00:00Z"
    await shop.update(update(1, esimStatus="IN_USE", totalDuration=7, occurredAt=at.format(10)))

    late = update(
        1, esimStatus="CREATED", totalDuration=7, expiredTime="2026-09-01T00:00:00Z", occurredAt=at.format("08")
    )
    await shop.update(late | {"ac": "LPA:1$a$1"} | further)

    [esim] = await shop.esims()
    assert (esim["expiredTime"], esim["ac"]) == ("2026-03-08T10:00:00.000Z", "LPA:1$a$1")


async def reported(database: Database, field: str, word: str) -> bool:
    """Whether a doubt of the word, and of no other, was reported to the operator."""
    async with database.session() as db:
        rows = await db.conn.fetch("SELECT * FROM provider_doubts WHERE reported_at IS NOT NULL")
    return [(row["field"], row["word"]) for row in rows] == [(field, word)]


async def test_a_word_that_nobody_knows_is_reported_once(operator: Api, database: Database) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.update(update(1, esimStatus="CREATED", provider="upstream"))

    for _ in range(2):
        answer = await upstream.notify(esim_status("K1", "IN_USE", smdpStatus="Available"))
    assert answer.body["outcome"] in ("applied", "duplicate", "unchanged")

    await eventually(lambda: reported(database, "smdpStatus", "Available"))
    assert [esim["esimStatus"] for esim in await shop.esims()] == ["IN_USE"]
    entry = (await upstream.journal())[0]
    assert "Available" in entry["detail"]


async def test_a_kind_of_notification_that_nobody_knows_is_reported(operator: Api, database: Database) -> None:
    upstream = await an_upstream(operator)

    answer = await upstream.notify({"notifyType": "ESIM_TELEPORTED", "content": {"esimTranNo": "K1"}})

    assert answer.body["outcome"] == "invalid"
    await eventually(lambda: reported(database, "notifyType", "ESIM_TELEPORTED"))


async def test_a_word_without_which_nothing_is_left_to_apply_is_reported(operator: Api, database: Database) -> None:
    upstream = await an_upstream(operator)

    answer = await upstream.notify(esim_status("K1", "TELEPORTED"))

    assert answer.body["outcome"] == "invalid"
    assert answer.body["detail"].count("TELEPORTED") == 1
    await eventually(lambda: reported(database, "esimStatus", "TELEPORTED"))


async def test_a_word_that_nobody_knows_is_reported_also_of_an_esim_that_nobody_knows(
    operator: Api, database: Database
) -> None:
    upstream = await an_upstream(operator)

    answer = await upstream.notify(esim_status("K1", "IN_USE", smdpStatus="Available"))

    assert answer.body["outcome"] == "unmatched"
    await eventually(lambda: reported(database, "smdpStatus", "Available"))


async def test_an_order_that_fails_after_it_was_filled_is_unchanged(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1")
    await upstream.notify(esim_status("K1", "GOT_RESOURCE", transactionId="t-1", orderNo="B1"))

    await upstream.notify({"notifyType": "ORDER_STATUS", "content": {"orderNo": "B1", "orderStatus": "FAIL"}})

    await upstream.journaled("unchanged")
    assert await shop.raised() == ["created"]


async def failed_order(shop: Shop, upstream: Upstream, quantity: int) -> None:
    await shop.order("t-1", orderNo="B1", quantity=quantity)
    await upstream.notify({"notifyType": "ORDER_STATUS", "content": {"orderNo": "B1", "orderStatus": "FAIL"}})
    await shop.raised_in_time(*["status_changed"] * quantity)


@pytest.mark.parametrize("quantity", [1, 2])
async def test_a_slot_of_an_order_that_failed_is_not_taken_by_a_late_notification(operator: Api, quantity: int) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await failed_order(shop, upstream, quantity)

    answers = [
        await upstream.notify(esim_status("K1", "GOT_RESOURCE", transactionId="t-1", orderNo="B1")),
        await upstream.notify(
            esim_status("K1", "GOT_RESOURCE", transactionId="t-1") | {"eventGenerateTime": "2026-01-01T00:00:00Z"}
        ),
    ]

    assert [answer.body["outcome"] for answer in answers] == ["unmatched", "unmatched"]
    assert {(esim["esimStatus"], esim["esimTranNo"]) for esim in await shop.esims()} == {("FAILED", None)}


@pytest.mark.slow(reason="waits for the round that finds what came in beside its eSIM, half a minute after the last")
@pytest.mark.timeout(60)
async def test_a_slot_of_an_order_that_failed_is_filled_by_the_operator(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await failed_order(shop, upstream, 1)

    only_usage, created = await shop.update(update(1, dataUsage=1), update(1, esimStatus="CREATED"))

    assert (only_usage["outcome"], created["outcome"]) == ("unmatched", "applied")
    await shop.raised_in_time("status_changed", "status_changed", "data_updated")  # the usage waited for its eSIM


async def test_an_order_that_was_refunded_is_cancelled_with_that_reason(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1", quantity=3)
    await shop.update(update(1, esimStatus="IN_USE"), update(2, esimStatus="REVOKED"))

    await upstream.notify({"notifyType": "ORDER_STATUS", "content": {"orderNo": "B1", "orderStatus": "REFUND"}})

    await shop.raised_in_time("activated", "suspended", "suspended", "suspended")
    assert [esim["esimStatus"] for esim in await shop.esims()] == ["CANCEL", "REVOKED", "CANCEL"]
    assert [event["reason"] for event in (await shop.events())[2:]] == ["refunded", "refunded"]
