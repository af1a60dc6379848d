"""Replacement: an eSIM in the place of another, and another profile under the same key."""

from typing import Any

import pytest

from api import Api, Json, eventually
from upstream import Shop, a_shop, an_upstream, esim_status

OLD_ICCID, NEW_ICCID = "8943000000000000022", "8943000000000000014"


def created(transaction_id: str = "t-1", **fields: Any) -> Json:
    return {"transactionId": transaction_id, "esimStatus": "CREATED"} | fields


async def linked(shop: Shop, old: str, new: str) -> None:
    """Wait until the two eSIMs name each other."""

    async def found() -> bool:
        return ((await shop.esim(old)).get("replacedBy"), (await shop.esim(new)).get("replaces")) == (new, old)

    await eventually(found)


async def test_an_esim_is_linked_to_the_one_that_it_replaces_once_that_is_known(operator: Api) -> None:
    shop = await a_shop(operator)
    [new] = await shop.update(created("t-2", esimTranNo="K2", replaces="K1"))
    assert new["outcome"] == "applied"

    [old] = await shop.update(created("t-1", esimTranNo="K1", esimStatus="IN_USE"))

    await linked(shop, old["esim"], new["esim"])
    assert await shop.raised(old["esim"]) == ["activated", "suspended"]
    assert [event["reason"] for event in (await shop.events(old["esim"]))[1:]] == ["replaced"]
    assert await shop.raised(new["esim"]) == ["created"]


async def test_an_esim_does_not_replace_the_one_that_has_taken_its_place(operator: Api) -> None:
    shop = await a_shop(operator)
    [old] = await shop.update(created("t-1", esimTranNo="K1"))
    [new] = await shop.update(created("t-2", esimTranNo="K2", replaces="K1"))
    await linked(shop, old["esim"], new["esim"])

    [back] = await shop.update(created("t-1", esimTranNo="K1", replaces="K2"))

    assert back["outcome"] == "invalid"
    await linked(shop, old["esim"], new["esim"])


async def test_an_esim_takes_the_place_of_none_of_another_merchant(operator: Api) -> None:
    one, other = await a_shop(operator), await a_shop(operator)
    [old] = await one.update(created("t-1", esimTranNo="K1"))
    [new] = await other.update(created("t-2", esimTranNo="K2"))

    body = {"updates": [{"esimTranNo": "K2", "replaces": "K1", "esimStatus": "IN_USE"}]}
    [result] = (await operator.post("/v1/updates", body, status=200))["results"]

    assert result["outcome"] == "invalid"
    assert await one.raised(old["esim"]) == ["created"]
    assert (await other.esim(new["esim"])).get("replaces") is None


async def test_who_replaces_an_esim_that_is_not_known_takes_no_slot_of_the_order(operator: Api) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)
    await shop.order("t-1", orderNo="B1", quantity=2)
    [early] = await shop.update(created("t-1", esimTranNo="K3", replaces="K1"))

    [old, second] = await shop.update(created("t-1", esimTranNo="K1"), created("t-1", esimTranNo="K2"))

    assert [one["outcome"] for one in (early, old, second)] == ["unmatched", "applied", "applied"]

    async def replaced() -> Json | None:
        return (await shop.esim(old["esim"])).get("replacedBy")

    assert (await shop.esim(await eventually(replaced)))["esimTranNo"] == "K3"
    assert len(await shop.esims()) == 3


async def test_an_esim_that_is_known_already_is_linked_to_the_one_that_it_replaces(operator: Api) -> None:
    shop = await a_shop(operator)
    [old, new] = await shop.update(created("t-1", esimTranNo="K1"), created("t-2", esimTranNo="K2"))

    again = {"transactionId": "t-2", "esimTranNo": "K2", "esimStatus": "IN_USE", "replaces": "K1"}
    results = await shop.update(again, again | {"dataUsage": 1})

    assert [one["outcome"] for one in results] == ["applied", "applied"]
    await linked(shop, old["esim"], new["esim"])
    assert await shop.raised(old["esim"]) == ["created", "suspended"]


@pytest.mark.parametrize("own", [{"transactionId": "t-2"}, {"transactionId": "t-1", "iccid": NEW_ICCID}])
async def test_an_esim_without_a_key_replaces_another_by_its_transaction_or_iccid(operator: Api, own: Json) -> None:
    shop = await a_shop(operator)
    [old] = await shop.update(created("t-1", iccid=OLD_ICCID))

    new, again = await shop.update(
        {"esimStatus": "CREATED", "replaces": old["esim"]} | own,
        {"esimStatus": "IN_USE", "replaces": old["esim"]} | own,
    )

    assert new["esim"] != old["esim"]
    assert again["esim"] == new["esim"]
    await linked(shop, old["esim"], new["esim"])
    assert await shop.raised(old["esim"]) == ["created", "suspended"]


@pytest.mark.parametrize(
    ("replacing", "wrong"),
    [
        ({"transactionId": "t-1", "esimTranNo": "K1", "replaces": "K1"}, "replaces: expected a key"),
        ({"transactionId": "t-1", "replaces": "K1"}, "replaces: expected a key"),
        (
            created("t-2", esimTranNo="K2", replaces="esim_01jd3v8k5fe8ya3q8r0m2n6x7c"),
            "replaces: there is no such eSIM",
        ),
    ],
)
async def test_a_replacement_that_cannot_be_is_invalid_and_says_why(operator: Api, replacing: Json, wrong: str) -> None:
    shop = await a_shop(operator)
    await shop.update(created("t-1", esimTranNo="K1"))

    [result] = await shop.update(replacing | {"esimStatus": "IN_USE"})

    assert (result["outcome"], result["detail"][: len(wrong)]) == ("invalid", wrong)
    assert [esim["esimStatus"] for esim in await shop.esims()] == ["CREATED"]


@pytest.mark.parametrize("ended", ["REVOKED", "CANCEL", "USED_EXPIRED", "IN_USE"])
async def test_an_esim_is_emitted_as_replaced_whatever_it_was_before(operator: Api, ended: str) -> None:
    shop = await a_shop(operator)
    [old] = await shop.update(created("t-1", esimTranNo="K1", esimStatus=ended))

    [new] = await shop.update(created("t-2", esimTranNo="K2", replaces="K1"))

    event = (await shop.events(old["esim"]))[-1]
    assert (event["event"], event["reason"], event["replacedBy"]) == ("esim.suspended", "replaced", new["esim"])
    assert event["changes"]["replacedBy"] == {"old": None, "new": new["esim"]}
    assert event.get("newStatus") == (None if ended == "REVOKED" else "REVOKED")


@pytest.mark.parametrize("another", [{"orderNo": "B2"}, {"transactionId": "t-2"}])
async def test_another_profile_of_another_order_replaces_nothing_and_the_rest_is_applied(
    operator: Api, another: Json
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1")
    await upstream.notify(esim_status("K1", "GOT_RESOURCE", orderNo="B1", iccid=OLD_ICCID))

    answer = await upstream.notify(esim_status("K1", "IN_USE", iccid=NEW_ICCID, **another))

    assert (answer.body["outcome"], answer.body["detail"][:6]) == ("applied", "iccid:")
    assert [(esim["iccid"], esim["esimStatus"]) for esim in await shop.esims()] == [(OLD_ICCID, "IN_USE")]
    assert await shop.raised() == ["created", "activated"]


async def test_another_profile_of_the_same_order_replaces_the_one_before(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1")
    await upstream.notify(esim_status("K1", "GOT_RESOURCE", orderNo="B1", iccid=OLD_ICCID))

    await upstream.notify(esim_status("K1", "IN_USE", orderNo="B1", transactionId="t-9", iccid=NEW_ICCID))

    assert [esim["iccid"] for esim in await shop.esims()] == [NEW_ICCID]
