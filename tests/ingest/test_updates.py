"""The operator's own updates, `POST /v1/updates`: outcomes, which eSIM an update means, many at once."""

from typing import Any

import pytest

from api import Api, Json, a_merchant
from upstream import Shop, a_shop, an_upstream, esim_status

ICCID, OTHER_ICCID = "8943000000000000014", "8943000000000000022"


def created(transaction_id: str = "t-1", **fields: Any) -> Json:
    return {"transactionId": transaction_id, "esimStatus": "CREATED"} | fields


def outcomes(results: list[Json]) -> list[str]:
    return [result["outcome"] for result in results]


async def test_every_outcome_in_one_request(operator: Api) -> None:
    shop = await a_shop(operator)
    used = {"transactionId": "t-1", "dataUsage": 10, "occurredAt": "2026-03-01T10:00:00Z"}

    results = await shop.update(
        created(occurredAt="2026-03-01T09:00:00Z", totalVolume=1000),
        used,
        used,
        used | {"occurredAt": "2026-03-01T11:00:00Z"},
        used | {"occurredAt": "2026-03-01T09:30:00Z", "dataUsage": 5},
        {"transactionId": "t-404", "dataUsage": 10},
        {"transactionId": "t-1", "dataUsage": -1},
    )

    assert outcomes(results) == ["applied", "applied", "duplicate", "unchanged", "stale", "unmatched", "invalid"]
    assert {result.get("esim") for result in results[:2] + results[3:5]} == {results[0]["esim"]}
    assert await shop.raised() == ["created", "data_updated"]
    assert [len(result.get("events", [])) for result in results] == [1, 1, 0, 0, 0, 0, 0]
    assert (await shop.esim(results[0]["esim"]))["dataUsage"] == 10
    journal = (await operator.get("/v1/notifications?source=updates"))["data"][::-1]
    assert outcomes(journal) == outcomes(results)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"dataUsage": -1}, "/dataUsage"),
        ({"esimStatus": "ACTIVE"}, "/esimStatus"),
        ({"iccid": 8944538532008160000}, "/iccid"),
        ({"iccid": "123"}, "/iccid"),
        ({"occurredAt": "2026-03-01T10:00:00"}, "/occurredAt"),
        ({"usedData": 1}, "usedData"),
        ({"mode": "staging"}, "/mode"),
    ],
)
async def test_an_invalid_update_says_what_is_wrong_and_the_others_go_on(
    operator: Api, wrong: Json, pointer: str
) -> None:
    shop = await a_shop(operator)

    results = await shop.update({"transactionId": "t-1"} | wrong, created())

    assert outcomes(results) == ["invalid", "applied"]
    assert pointer in results[0]["detail"]


async def test_an_update_of_an_unknown_account_is_invalid(operator: Api) -> None:
    await a_shop(operator)
    nobody = {"account": "acc_01jd3v8k5fe8ya3q8r0m2n6x7c", "mode": "test", "updates": [created()]}

    body = await operator.post("/v1/updates", nobody, status=200)

    assert outcomes(body["results"]) == ["invalid"]
    assert "no such account" in body["results"][0]["detail"]


@pytest.mark.slow(reason="a thousand eSIMs on a machine that may be busy")
@pytest.mark.timeout(30)
async def test_a_thousand_updates_in_one_request(operator: Api) -> None:
    shop = await a_shop(operator)

    results = await shop.update(*[created(f"t-{number}") for number in range(1000)])
    more = await operator.call("POST", "/v1/updates", {"updates": [created()] * 1001})

    assert outcomes(results) == ["applied"] * 1000
    assert len({result["esim"] for result in results}) == 1000
    assert len({result["events"][0] for result in results}) == 1000
    assert more.status == 422


async def test_an_esim_is_created_only_with_account_mode_and_status(operator: Api) -> None:
    shop = await a_shop(operator)
    tenant = {"account": shop.account, "mode": "test"}

    without_account = await operator.post("/v1/updates", {"updates": [created()]}, status=200)
    without_mode = await operator.call("POST", "/v1/updates", {"account": shop.account, "updates": [created()]})
    [without_status] = await shop.update({"transactionId": "t-2", "dataUsage": 1})
    of_its_own = await operator.post("/v1/updates", {"updates": [created("t-3") | tenant]}, status=200)

    assert outcomes(without_account["results"]) == ["unmatched"]
    assert (without_mode.status, without_mode.body["errors"][0]["pointer"]) == (422, "/mode")
    assert without_status["outcome"] == "unmatched"
    assert outcomes(of_its_own["results"]) == ["applied"]
    assert [esim["transactionId"] for esim in await shop.esims()] == ["t-3"]


async def test_doubtful_numbers_are_accepted_and_recorded_in_the_journal(operator: Api) -> None:
    shop = await a_shop(operator)
    eid = "89012345200859366199273438185664186"

    [made] = await shop.update(created(iccid="8943000000000000015", eid=eid))

    assert made["outcome"] == "applied"
    assert (await shop.esim(made["esim"]))["eid"] == eid
    [entry] = (await operator.get("/v1/notifications?source=updates"))["data"]
    assert entry["detail"] == (
        "iccid ...0015: the Luhn check digit is wrong; eid ...4186: not 32 digits with the remainder 1 modulo 97"
    )


async def test_what_remains_counts_of_the_volume_that_is_known(operator: Api) -> None:
    shop = await a_shop(operator)
    [made] = await shop.update(created(totalVolume=1024))

    [result] = await shop.update({"transactionId": "t-1", "data_usage_remain": 10})

    esim = await shop.esim(made["esim"])
    assert (result["outcome"], esim["dataUsage"], esim["data_usage_remain"]) == ("applied", 1014, 10)
    assert [event.get("thresholds") for event in await shop.events()] == [None, [25, 50, 75, 90]]


async def test_what_remains_of_an_unknown_volume_is_invalid_by_itself(operator: Api) -> None:
    shop = await a_shop(operator)

    *_, result = await shop.update(created(), {"transactionId": "t-1", "data_usage_remain": 10})

    assert result["outcome"] == "invalid"
    assert "data_usage_remain" in result["detail"]


async def test_what_remains_of_an_unknown_volume_does_not_hide_what_stands_beside_it(operator: Api) -> None:
    shop = await a_shop(operator)

    [result] = await shop.update(created(data_usage_remain=10))

    assert result["outcome"] == "applied"
    assert "data_usage_remain" in result["detail"]
    assert [esim["esimStatus"] for esim in await shop.esims()] == ["CREATED"]


async def test_a_mode_without_an_account_makes_an_update_invalid(operator: Api) -> None:
    shop = await a_shop(operator)
    [made] = await shop.update(created())

    body = {"updates": [{"transactionId": "t-1", "dataUsage": 5, "mode": "live"}]}
    [result] = (await operator.post("/v1/updates", body, status=200))["results"]

    assert result == {"outcome": "invalid", "detail": "/account: expected the id of an account beside the mode"}
    assert (await shop.esim(made["esim"]))["dataUsage"] is None


async def test_an_update_that_came_before_its_esim_is_applied_when_it_is_known(operator: Api) -> None:
    shop = await a_shop(operator)
    [early] = await shop.update({"transactionId": "t-1", "totalVolume": 1000, "dataUsage": 300})

    await shop.update(created())

    assert early["outcome"] == "unmatched"
    await shop.raised_in_time("created", "data_updated")
    assert (await shop.events())[-1]["thresholds"] == [25]


async def test_esims_of_one_transaction_are_distinguished_by_their_iccids(operator: Api) -> None:
    shop = await a_shop(operator)

    results = await shop.update(
        created(iccid=ICCID),
        created(iccid=OTHER_ICCID),
        {"transactionId": "t-1", "iccid": OTHER_ICCID, "esimStatus": "IN_USE"},
        created(iccid=ICCID, occurredAt="2026-03-01T10:00:00Z"),
    )

    first, second = results[0]["esim"], results[1]["esim"]
    assert first != second
    assert [results[2]["esim"], results[3]["esim"]] == [second, first]
    assert await shop.raised(second) == ["created", "activated"]
    assert len(await shop.esims()) == 2


async def two_of_one_transaction(shop: Shop) -> tuple[str, str]:
    """Return the ids of two eSIMs of one transaction and order number with keys K1 and K2 and the two ICCIDs."""
    first, second = await shop.update(
        created(esimTranNo="K1", orderNo="B1", iccid=ICCID), created(esimTranNo="K2", orderNo="B1", iccid=OTHER_ICCID)
    )
    return first["esim"], second["esim"]


@pytest.mark.parametrize(
    ("identity", "found"),
    [
        ({"esimTranNo": "K2"}, 1),
        ({"esimTranNo": "K2", "orderNo": "B1", "iccid": ICCID}, 1),
        ({"orderNo": "B1", "iccid": OTHER_ICCID}, 1),
        ({"orderNo": "B9", "transactionId": "t-1", "iccid": ICCID}, 0),
        ({"transactionId": "t-1", "iccid": OTHER_ICCID}, 1),
        ({"transactionId": "t-1"}, None),
        ({"orderNo": "B1"}, None),
        ({"iccid": ICCID}, None),
        ({"esimTranNo": "K9", "orderNo": "B1", "iccid": ICCID}, None),
        ({}, None),
    ],
)
async def test_which_esim_an_update_means(operator: Api, identity: Json, found: int | None) -> None:
    shop = await a_shop(operator)
    ids = await two_of_one_transaction(shop)

    [result] = await shop.update(identity | {"dataUsage": 1})

    assert result.get("esim") == (None if found is None else ids[found])
    assert result["outcome"] == ("unmatched" if found is None else "applied")


async def test_the_transaction_alone_is_enough_where_one_esim_has_it(operator: Api) -> None:
    shop = await a_shop(operator)
    [made] = await shop.update(created(iccid=ICCID))

    [plain, contradicting] = await shop.update(
        {"transactionId": "t-1", "dataUsage": 1}, {"transactionId": "t-1", "iccid": OTHER_ICCID, "dataUsage": 2}
    )

    assert (plain["outcome"], plain["esim"]) == ("applied", made["esim"])
    assert contradicting["outcome"] == "unmatched"


async def test_a_transaction_of_several_esims_creates_no_further_one_that_might_be_one_of_them(
    operator: Api,
) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)
    await shop.order("t-1", orderNo="B1", quantity=2)

    results = await shop.update(
        {"transactionId": "t-1", "esimStatus": "IN_USE"},
        {"transactionId": "t-1", "iccid": ICCID, "esimStatus": "IN_USE"},
    )

    assert outcomes(results) == ["unmatched", "applied"], "which of two is meant is not named; an ICCID takes a place"
    assert len(await shop.esims()) == 2


async def test_a_transaction_grows_by_esims_that_are_none_of_those_it_has(operator: Api) -> None:
    shop = await a_shop(operator)
    await two_of_one_transaction(shop)

    [third] = await shop.update(created(iccid="8943000000000000030"))

    assert third["outcome"] == "applied"
    assert len(await shop.esims()) == 3


async def test_updates_find_an_esim_that_the_same_request_creates(operator: Api) -> None:
    shop = await a_shop(operator)

    results = await shop.update(
        created(esimTranNo="K1", orderNo="B1", iccid=ICCID),
        {"esimTranNo": "K1", "totalVolume": 1000},
        {"orderNo": "B1", "iccid": ICCID, "dataUsage": 10},
        {"transactionId": "t-1", "iccid": ICCID, "dataUsage": 20},
        {"transactionId": "t-1", "dataUsage": 30},
        {"iccid": ICCID, "dataUsage": 40},
        {"transactionId": "t-1", "iccid": OTHER_ICCID, "dataUsage": 50},
        created("t-2", esimTranNo="K1"),
    )

    assert outcomes(results) == [*["applied"] * 5, "unmatched", "unmatched", "unchanged"]
    assert (await shop.esim(results[0]["esim"]))["dataUsage"] == 30


async def test_an_iccid_that_was_used_before_means_the_esim_of_its_transaction(operator: Api) -> None:
    shop = await a_shop(operator)
    old, new = await shop.update(created("t-old", iccid=ICCID), created("t-new", iccid=ICCID))

    [update] = await shop.update({"transactionId": "t-old", "iccid": ICCID, "esimStatus": "EXPIRED"})

    assert update["esim"] == old["esim"] != new["esim"]
    assert await shop.raised(new["esim"]) == ["created"]


async def test_two_merchants_may_use_the_same_transaction_and_iccid(operator: Api) -> None:
    ours, theirs = await a_shop(operator), await a_shop(operator)
    [mine] = await ours.update(created(iccid=ICCID))

    [other] = await theirs.update(created(iccid=ICCID))
    [update] = await theirs.update({"transactionId": "t-1", "iccid": ICCID, "esimStatus": "IN_USE"})

    assert update["esim"] == other["esim"] != mine["esim"]
    assert await ours.raised() == ["created"]
    assert await theirs.raised() == ["created", "activated"]


async def test_live_and_test_esims_of_a_merchant_never_meet(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update(created())

    live = {"account": shop.account, "mode": "live", "updates": [{"transactionId": "t-1", "esimStatus": "IN_USE"}]}
    [made] = (await operator.post("/v1/updates", live, status=200))["results"]

    assert made["outcome"] == "applied"
    assert await shop.raised() == ["created"]


async def test_a_provider_does_not_reach_the_esims_of_another_source(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.update(created(esimTranNo="K1"))

    answer = await upstream.notify(esim_status("K1", "SUSPENDED", transactionId="t-1"))

    assert answer.body["outcome"] == "unmatched"
    assert await shop.raised() == ["created"]


async def test_an_operator_without_naming_the_account_reaches_any_esim(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update(created(esimTranNo="K1"))

    body = await operator.post("/v1/updates", {"updates": [{"esimTranNo": "K1", "esimStatus": "IN_USE"}]}, status=200)

    assert outcomes(body["results"]) == ["applied"]
    assert await shop.raised() == ["created", "activated"]


async def test_a_merchants_key_may_not_hand_in_updates(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as api:
        answer = await api.call("POST", "/v1/updates", {"updates": [created()]})

    assert answer.status == 403


async def test_a_provider_that_does_not_exist_is_refused_and_ties_nothing_to_it(operator: Api) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)

    results = await shop.update(
        created("t-1", provider="upstraem"),
        created("t-2", provider="upstream"),
        {"transactionId": "t-1", "dataUsage": 1},
    )

    assert outcomes(results) == ["invalid", "applied", "unmatched"]
    assert results[0]["detail"] == "/provider: expected a provider that is configured, got upstraem"


async def test_plans_that_would_not_fit_into_an_event_are_refused(operator: Api) -> None:
    shop = await a_shop(operator)
    long = [{"id": f"{index:03}{'x' * 197}", "name": "\U0001f4f6" * 200, "totalVolume": 1} for index in range(50)]

    results = await shop.update(created(plans=long), created(plans=[{"id": f"plan {index}"} for index in range(50)]))

    assert outcomes(results) == ["invalid", "applied"]
    assert results[0]["detail"].startswith("/plans: expected at most 32768 bytes")


async def test_plans_beyond_what_is_kept_of_one_esim_are_a_doubt(operator: Api) -> None:
    shop = await a_shop(operator)
    states = ["expired"] * 2 + ["active"] * 48
    await shop.update(created(plans=[{"id": f"p{index:02}", "state": state} for index, state in enumerate(states)]))

    more = [{"transactionId": "t-1", "plans": [{"id": f"q{index}", "state": "active"}]} for index in range(3)]
    results = await shop.update(*more)

    assert ["plans:" in result.get("detail", "") for result in results] == [False, False, True]
    [esim] = await shop.esims()
    assert [plan["id"] for plan in esim["plans"]] == [f"p{index:02}" for index in range(2, 50)] + ["q0", "q1"]


async def test_plans_whose_sum_is_more_than_can_be_stored_harm_no_update_beside_them(operator: Api) -> None:
    shop = await a_shop(operator)
    plans = [{"id": f"p{number}", "totalVolume": 1e12, "dataUsage": 1e12} for number in range(12)]

    results = await shop.update(created(), created("t-2", plans=plans))

    assert outcomes(results) == ["applied", "applied"]


async def test_a_requery_is_emitted_also_where_what_it_brings_is_older_than_what_is_known(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update(created(esimStatus="IN_USE", occurredAt="2026-03-01T10:00:00Z"))

    [result] = await shop.update(created(cause="requery", occurredAt="2026-03-01T09:00:00Z"))

    assert result["outcome"] == "stale"
    assert await shop.raised() == ["activated", "usage_updated", "requeried"]
