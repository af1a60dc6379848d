"""What is a repetition and what is a later fact: going back and forth, sources, batches, clocks."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientSession

from api import Api, Json
from upstream import Shop, Upstream, a_shop, esim_status

BACK_AND_FORTH = ["CREATED", "IN_USE", "SUSPENDED", "IN_USE", "SUSPENDED", "IN_USE"]


def outcomes(results: list[Json]) -> list[str]:
    return [result["outcome"] for result in results]


async def outcomes_one_by_one(shop: Shop, *updates: Json) -> list[str]:
    return [(await shop.update(update))[0]["outcome"] for update in updates]


async def an_inbound(operator: Api, name: str) -> str:
    answer = await operator.call("PUT", f"/v1/providers/{name}", {"kind": "esimaccess"})
    return str(answer.body["inboundUrl"])


async def notify(url: str, *bodies: Json) -> list[Json]:
    async with ClientSession() as session:

        async def one(body: Json) -> Json:
            async with session.post(url, data=json.dumps(body)) as answer:
                assert answer.status == 200
                results: Json = await answer.json()
                return results

        return await asyncio.gather(*[one(body) for body in bodies])


@pytest.mark.parametrize("at_once", [False, True])
async def test_statuses_that_go_back_and_forth_without_a_time_are_followed(operator: Api, *, at_once: bool) -> None:
    shop = await a_shop(operator)
    updates = [{"transactionId": "t-1", "esimStatus": status} for status in BACK_AND_FORTH]

    found = outcomes(await shop.update(*updates)) if at_once else await outcomes_one_by_one(shop, *updates)

    assert found == ["applied"] * 6
    [esim] = await shop.esims()
    assert esim["esimStatus"] == "IN_USE"
    assert await shop.raised() == ["created", "activated", "suspended", "activated", "suspended", "activated"]


async def test_usage_that_goes_back_and_forth_without_a_time_is_followed(operator: Api) -> None:
    shop = await a_shop(operator)
    figures: list[Json] = [
        {"transactionId": "t-1", "dataUsage": used, "totalVolume": total}
        for used, total in [(90, 100), (90, 1000), (90, 100)]
    ]
    await shop.update({"transactionId": "t-1", "esimStatus": "IN_USE"})

    assert await outcomes_one_by_one(shop, *figures) == ["applied"] * 3
    [esim] = await shop.esims()
    assert (esim["dataUsage"], esim["totalVolume"]) == (90, 100)


async def test_the_very_same_bytes_again_are_a_repetition_and_other_bytes_are_not(operator: Api) -> None:
    shop = await a_shop(operator)
    in_use: Json = {"transactionId": "t-1", "esimStatus": "IN_USE"}

    assert await outcomes_one_by_one(shop, in_use, in_use, in_use | {"apn": "one"}, in_use) == [
        "applied",
        "duplicate",
        "applied",
        "unchanged",
    ]


async def test_older_notifications_without_id_and_time_are_followed(operator: Api) -> None:
    shop = await a_shop(operator)
    url = await an_inbound(operator, "upstream")
    await shop.order("t-1", orderNo="B1")
    notifications = [
        {"notifyType": "ESIM_STATUS", "content": {"orderNo": "B1", "transactionId": "t-1", "esimStatus": word}}
        for word in ("GOT_RESOURCE", "IN_USE", "SUSPENDED", "IN_USE")
    ]

    found = [(await notify(url, one))[0]["outcome"] for one in notifications]

    assert found == ["applied"] * 4
    assert [esim["esimStatus"] for esim in await shop.esims()] == ["IN_USE"]


async def test_a_batch_binds_a_key_before_the_next_update_is_matched(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update({"transactionId": "t-1", "esimStatus": "CREATED"})

    await shop.update(
        {"transactionId": "t-1", "esimTranNo": "K1", "iccid": "8900000000000000001", "esimStatus": "IN_USE"},
        {"transactionId": "t-1", "esimTranNo": "K2", "iccid": "8900000000000000002", "esimStatus": "CANCEL"},
    )

    found = [(esim["esimTranNo"], esim["iccid"][-1], esim["esimStatus"]) for esim in await shop.esims()]
    assert found == [("K1", "1", "IN_USE"), ("K2", "2", "CANCEL")]


async def test_a_key_that_a_batch_binds_is_not_created_a_second_time(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update({"transactionId": "t-2", "esimStatus": "CREATED"})

    await shop.update(
        {"transactionId": "t-2", "esimTranNo": "K3", "esimStatus": "IN_USE"},
        {"transactionId": "t-1", "esimTranNo": "K3", "esimStatus": "CANCEL"},
    )

    found = [(esim["esimTranNo"], esim["transactionId"], esim["esimStatus"]) for esim in await shop.esims()]
    assert found == [("K3", "t-2", "CANCEL")]


async def test_the_same_ids_from_two_sources_are_two_notifications_even_in_one_commit(operator: Api) -> None:
    shop = await a_shop(operator)
    old, new = await an_inbound(operator, "old"), await an_inbound(operator, "new")
    for index in range(10):
        await shop.order(f"old-{index}", provider="old", orderNo=f"B{index}")
        await shop.order(f"new-{index}", provider="new", orderNo=f"B{index}")

    def notifications(source: str) -> list[Json]:
        return [
            esim_status(f"K{index}", "IN_USE", transactionId=f"{source}-{index}", orderNo=f"B{index}")
            | {"notifyId": f"n{index}"}
            for index in range(10)
        ]

    answers = await asyncio.gather(notify(old, *notifications("old")), notify(new, *notifications("new")))

    assert [outcomes(of_source) for of_source in answers] == [["applied"] * 10] * 2
    assert {esim["esimStatus"] for esim in await shop.esims()} == {"IN_USE"}


async def test_a_fact_without_a_time_is_later_than_all_that_is_known_whatever_the_clocks_say(operator: Api) -> None:
    shop = await a_shop(operator)
    ahead: Any = (await shop.update({"transactionId": "t-1", "esimStatus": "IN_USE"}))[0]["esim"]
    esim = await shop.esim(ahead)
    soon = esim["updatedAt"].replace("Z", "+00:00")
    await shop.update({"transactionId": "t-1", "esimStatus": "SUSPENDED", "occurredAt": soon})

    assert await outcomes_one_by_one(shop, {"transactionId": "t-1", "esimStatus": "USED_UP"}) == ["applied"]
    assert (await shop.esim(ahead))["esimStatus"] == "USED_UP"


async def test_what_was_invalid_is_no_repetition_once_it_is_understood(operator: Api) -> None:
    shop = await a_shop(operator)
    left: Json = {"transactionId": "t-1", "data_usage_remain": 5, "occurredAt": "2026-03-01T10:00:00Z"}
    volume: Json = {"transactionId": "t-1", "esimStatus": "IN_USE", "totalVolume": 10}

    results = [*await shop.update(left, left, volume), *await shop.update(left, left)]

    assert [result["outcome"] for result in results] == ["invalid", "invalid", "applied", "applied", "duplicate"]
    [esim] = await shop.esims()
    assert esim["dataUsage"] == 5


BESIDE_THE_BODY = """
name = "Acme"
[[rule]]
name = "status"
set.key = "query:key"
set.status = "query:status"
set.time = "query:time"
"""


@pytest.mark.parametrize("at", ["", "&time=2025-01-02T10:00:00Z"])
async def test_what_differs_beside_a_body_that_is_always_the_same_is_no_repetition(operator: Api, at: str) -> None:
    shop = await a_shop(operator)
    document = {"kind": "mapping", "settings": {"document": BESIDE_THE_BODY}}
    upstream = Upstream(operator, (await operator.put("/v1/providers/upstream", document))["inboundUrl"])
    created = {"esimStatus": "CREATED", "provider": "upstream", "occurredAt": "2025-01-01T00:00:00Z"}
    for number in (1, 2):
        await shop.update(created | {"transactionId": f"t-{number}", "esimTranNo": f"K{number}"})

    said = ("key=K1&status=IN_USE", "key=K2&status=IN_USE", "key=K1&status=SUSPENDED", "key=K1&status=SUSPENDED")
    answers = [await upstream.notify_raw(b"{}", query=query + at) for query in said]

    assert outcomes([answer.body for answer in answers]) == ["applied", "applied", "applied", "duplicate"]
