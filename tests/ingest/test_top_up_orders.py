"""Orders that top up an eSIM: they make none, and the next volume that is added names them."""

import pytest
from aiohttp import ClientSession, CookieJar

from api import Api, Json
from conftest import ADMIN_KEY
from esimhooks.server.store.database import Database
from providers.test_esimaccess_http import serving
from providers.test_esimgo_api import ICCID, PROFILE, Fake, assignment, bundle
from upstream import Shop, a_shop, an_upstream, moved
from web.routes import is_field
from web.test_dashboard import Browser


async def an_esim(operator: Api) -> tuple[Shop, str]:
    """Make an eSIM of the provider `upstream` with 1 GB; return its merchant and its id."""
    shop = await a_shop(operator)
    await an_upstream(operator)
    esim = {"transactionId": "t-1", "esimTranNo": "K1", "esimStatus": "IN_USE", "provider": "upstream"}
    [made] = await shop.update(esim | {"totalVolume": 1024, "dataUsage": 900})
    return shop, made["esim"]


def volume(mb: int, **fields: Json) -> Json:
    return {"transactionId": "t-1", "esimTranNo": "K1", "totalVolume": mb} | fields


async def top_ups(shop: Shop) -> list[Json]:
    return [event["topUp"] for event in await shop.events() if "topUp" in event]


async def test_the_next_volume_that_is_added_names_the_order(operator: Api) -> None:
    shop, esim_id = await an_esim(operator)

    order = await shop.order("top-1", esim=esim_id, packageCode="TOP3", metadata={"cart": "c-9"})
    await shop.update(volume(4096))
    await shop.update(volume(8192))

    assert (order["esim"], [one["id"] for one in order["esims"]]) == (esim_id, [esim_id])
    assert order["metadata"] == {"cart": "c-9"}
    assert len(await shop.esims()) == 1
    assert await top_ups(shop) == [
        {"transactionId": "top-1", "packageCode": "TOP3", "addedVolume": 3072},
        {"addedVolume": 4096},
    ]


async def test_of_several_orders_the_one_that_the_provider_names_or_that_fits_is_meant(operator: Api) -> None:
    shop, esim_id = await an_esim(operator)
    for number in (1, 2, 3):
        await shop.order(f"top-{number}", esim=esim_id, packageCode=f"TOP{number}")

    await shop.update(volume(2048, topUp={"transactionId": "top-3"}))
    await shop.update(volume(3072, topUp={"packageCode": "TOP2"}))
    await shop.update(volume(4096))

    assert [(one["transactionId"], one["packageCode"]) for one in await top_ups(shop)] == [
        ("top-3", "TOP3"),
        ("top-2", "TOP2"),
        ("top-1", "TOP1"),
    ]


async def test_the_same_transaction_id_tops_up_once(operator: Api) -> None:
    shop, esim_id = await an_esim(operator)

    first = await shop.order("top-1", esim=esim_id)
    again = await shop.order("top-1", esim=esim_id)
    await shop.update(volume(2048))
    await shop.update(volume(3072))

    assert again == first
    assert [one.get("transactionId") for one in await top_ups(shop)] == ["top-1", None]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"esim": "esim_01jd3v8k5fe8ya3q8r0m2n6x7c"}, "/esim"),
        ({"esim": "K1"}, "/esim"),
        ({"quantity": 2}, "/quantity"),
        ({"mode": "live"}, "/esim"),
        ({"provider": "other"}, "/provider"),
        ({"provider": "second"}, "/provider"),
    ],
)
async def test_what_cannot_be_topped_up_is_named(operator: Api, fields: Json, pointer: str) -> None:
    shop, esim_id = await an_esim(operator)
    await operator.put("/v1/providers/second", {"kind": "esimaccess"})
    body = {"account": shop.account, "mode": "test", "provider": "upstream", "transactionId": "top-1"}

    answer = await operator.call("POST", "/v1/orders", body | {"packageCode": "TOP1", "esim": esim_id} | fields)

    is_field(answer, pointer)


async def test_a_trace_of_the_order_shows_the_esim_and_the_top_up(operator: Api) -> None:
    shop, esim_id = await an_esim(operator)
    order = await shop.order("top-1", esim=esim_id, packageCode="TOP3")
    await shop.update(volume(4096))

    trace = await operator.get(f"/v1/trace/{order['id']}")

    assert [one["id"] for one in trace["esims"]] == [esim_id]
    assert trace["events"][0]["topUp"] == {"transactionId": "top-1", "packageCode": "TOP3", "addedVolume": 3072}


async def test_the_provider_is_queried_until_the_plan_that_was_ordered_is_there(
    operator: Api, database: Database
) -> None:
    fake, shop = Fake(), await a_shop(operator)
    async with serving(fake.answer) as base_url:
        config = {"kind": "esimgo", "baseUrl": base_url, "credentials": {"apiKey": "api-key-1"}}
        await operator.put("/v1/providers/upstream", config)
        await shop.order("t-1", orderNo="ref-1")
        await moved(database, "orders", "next_poll_at")
        await shop.raised_in_time("activated", "data_updated")
        [esim] = await shop.esims()

        await shop.order("top-1", esim=esim["id"], packageCode="esim_1GB_7D_FR_V2")
        second = bundle(assignment("2", "queued", left=1_000_000_000), name="esim_1GB_7D_FR_V2")
        fake.esims[ICCID] = (PROFILE, [*fake.esims[ICCID][1], second])
        await moved(database, "orders", "next_poll_at")
        await shop.raised_in_time("activated", "data_updated", "data_updated")

    event = (await shop.events())[-1]
    assert event["planId"] == "2"
    assert event["topUp"] == {
        "transactionId": "top-1",
        "packageCode": "esim_1GB_7D_FR_V2",
        "addedVolume": 953.67,
    }
    assert [plan["state"] for plan in event["data"]["plans"]] == ["active", "queued"]


async def test_the_page_of_an_esim_shows_plans_top_ups_and_metadata(operator: Api) -> None:
    shop, esim_id = await an_esim(operator)
    await shop.order("top-1", esim=esim_id, packageCode="TOP3")
    plan = {"id": "p1", "name": "France 1 GB", "state": "active", "totalVolume": 1024, "dataUsage": 10}
    await shop.update({"transactionId": "t-1", "esimTranNo": "K1", "plans": [plan], "metadata": {"cart": "c-9"}})
    await shop.update({"transactionId": "t-2", "esimTranNo": "K2", "esimStatus": "CREATED", "unlimited": True})
    [_, other] = await shop.esims()

    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        browser = Browser(operator.url, session)
        await browser.sign_in(ADMIN_KEY)
        _, first = await browser.get(f"/esims/{esim_id}?account={shop.account}&mode=test")
        _, second = await browser.get(f"/esims/{other['id']}?account={shop.account}&mode=test")

    for shown in ("top-1 (TOP3)", "France 1 GB", "c-9"):
        assert shown in first
    assert second.count(" MB") == 1, "what is used, of no volume"
