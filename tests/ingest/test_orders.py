"""Orders until their eSIMs are there: allocated late, notified before they are known, never notified, filled in parts.

The sandbox stands for the provider; waiting times are moved in the database.
"""

import pytest
from aiohttp import web

from api import Api, Json, eventually
from esimhooks.server.providers.sandbox.esims import Purchase, SimulatedEsim
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from esimhooks.server.store.database import Database
from providers.test_esimaccess_http import serving
from upstream import Door, Shop, a_shop, allocate, an_upstream, moved, order_ready


async def events_of_each(shop: Shop, order: Json) -> dict[str, list[str]]:
    return {esim["id"]: await shop.raised(esim["id"]) for esim in order["esims"]}


async def all_created(shop: Shop) -> list[Json]:
    """Return the eSIMs as soon as none is pending."""

    async def found() -> list[Json] | None:
        esims = await shop.esims()
        return esims if all(esim["esimStatus"] == "CREATED" for esim in esims) else None

    esims: list[Json] = await eventually(found)
    return esims


async def polled_without_answer(database: Database) -> None:
    """Wait until the one order was polled and the provider did not answer what it is."""

    async def put_off() -> bool:
        async with database.session() as db:
            query = "SELECT polls = 1 AND next_poll_at < now() + interval '60 s' FROM orders"
            return bool(await db.conn.fetchval(query))

    await eventually(put_off)


@pytest.mark.parametrize("quantity", [1, 3])
async def test_an_order_that_is_still_being_allocated_is_polled_again(
    operator: Api, sandbox: Sandbox, database: Database, quantity: int
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    keys = await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", quantity=quantity))
    order = await shop.order("t-1", orderNo="B1", quantity=quantity)

    await upstream.notify(order_ready("B1"))
    await upstream.put_off("200010")
    assert await shop.events() == []

    allocate(sandbox, "B1")
    await moved(database, "backlog", "due_at")
    await moved(database, "orders", "next_poll_at")

    await all_created(shop)
    created = await shop.events()
    assert await events_of_each(shop, order) == {esim["id"]: ["created"] for esim in order["esims"]}
    assert {event["data"]["esimTranNo"] for event in created} == set(keys)
    assert len({event["data"]["iccid"] for event in created}) == quantity
    assert all(event["data"]["ac"].startswith("LPA:1$") for event in created)
    assert all(
        (event["previousStatus"], event["newStatus"], event["sequence"]) == ("PENDING", "CREATED", 1)
        for event in created
    )


async def test_an_order_whose_notification_never_comes_is_filled_by_polling(
    operator: Api, sandbox: Sandbox, database: Database
) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator, sandbox.base_url)
    await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", quantity=3))
    allocate(sandbox, "B1")
    order = await shop.order("t-1", orderNo="B1", quantity=3)

    await moved(database, "orders", "next_poll_at")

    await all_created(shop)
    assert await events_of_each(shop, order) == {esim["id"]: ["created"] for esim in order["esims"]}
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM orders WHERE next_poll_at IS NOT NULL") == 0


@pytest.mark.slow(reason="waits for two rounds of a loop")
@pytest.mark.timeout(30)
async def test_polling_an_order_survives_an_outage_of_the_provider(
    operator: Api, sandbox: Sandbox, door: Door, database: Database
) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator, door.base_url)
    await sandbox.order(Purchase(order_no="B1", transaction_id="t-1"))
    allocate(sandbox, "B1")
    await door.close()
    await shop.order("t-1", orderNo="B1")
    await moved(database, "orders", "next_poll_at")

    await polled_without_answer(database)
    await door.open()
    await moved(database, "orders", "next_poll_at")

    await all_created(shop)
    assert await shop.raised() == ["created"]


async def test_an_order_notified_as_ready_before_it_is_known_is_filled_when_it_is(
    operator: Api, sandbox: Sandbox
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    await sandbox.order(Purchase(order_no="B1", transaction_id="t-1"))
    allocate(sandbox, "B1")

    await upstream.notify(order_ready("B1", transactionId="t-1"))
    entry = await upstream.journaled("unmatched")
    assert "no such order" in entry["detail"]

    await shop.order("t-1", orderNo="B1")

    await upstream.journaled("applied")
    assert await shop.raised() == ["created"]


async def test_an_order_known_by_its_transaction_learns_its_number_from_the_notification(
    operator: Api, sandbox: Sandbox
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    await sandbox.order(Purchase(order_no="B1", transaction_id="t-1"))
    allocate(sandbox, "B1")
    order = await shop.order("t-1")

    await upstream.notify(order_ready("B1", transactionId="t-1"))

    await upstream.journaled("applied")
    assert await shop.raised() == ["created"]
    assert (await operator.get(f"/v1/orders/{order['id']}"))["orderNo"] == "B1"
    assert [esim["orderNo"] for esim in await shop.esims()] == ["B1"]


async def an_order_in_parts(sandbox: Sandbox) -> tuple[str, SimulatedEsim]:
    """Buy two eSIMs of which one is allocated; return its number, and the other as the provider has it."""
    first, second = await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", quantity=2))
    allocate(sandbox, "B1")
    late = sandbox._inventory.esims[second]
    late.esim_status, late.smdp_status = "GETTING_RESOURCE", ""
    return first, late


@pytest.mark.parametrize("known_by", [{"orderNo": "B1"}, {}], ids=["number", "transaction"])
async def test_an_order_allocated_in_parts_is_polled_until_it_is_whole(
    operator: Api, sandbox: Sandbox, database: Database, known_by: Json
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    first, late = await an_order_in_parts(sandbox)
    order = await shop.order("t-1", quantity=2, **known_by)

    await upstream.notify(order_ready("B1", transactionId="t-1"))
    await upstream.journaled("applied")
    assert [event["data"]["esimTranNo"] for event in await shop.events()] == [first]

    late.esim_status, late.smdp_status = "GOT_RESOURCE", "RELEASED"
    await moved(database, "orders", "next_poll_at")

    await all_created(shop)
    assert await events_of_each(shop, order) == {esim["id"]: ["created"] for esim in order["esims"]}


async def test_usage_that_the_poll_of_a_pending_order_finds_is_emitted_as_polled(
    operator: Api, sandbox: Sandbox, database: Database
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    first, _ = await an_order_in_parts(sandbox)
    await shop.order("t-1", quantity=2, orderNo="B1")
    await upstream.notify(order_ready("B1", transactionId="t-1"))
    await upstream.journaled("applied")

    sandbox._inventory.esims[first].used_bytes = 1 << 20
    await moved(database, "orders", "next_poll_at")

    await shop.raised_in_time("created", "usage_updated")


async def test_the_same_order_again_is_the_same_order(operator: Api) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator)

    first = await shop.order("t-1", orderNo="B1", quantity=2)
    again = await shop.order("t-1", orderNo="B1", quantity=2)

    assert again == first
    assert len(await shop.esims()) == 2


async def test_an_order_that_the_provider_does_not_know_is_polled_again_before_it_fails(
    operator: Api, sandbox: Sandbox, database: Database
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    await shop.order("t-1", orderNo="B404")

    await upstream.notify(order_ready("B404"))

    await upstream.put_off("310272")
    await moved(database, "orders", "next_poll_at")
    await polled_without_answer(database)
    assert await shop.events() == []

    async with database.transaction() as db:
        await db.conn.execute("UPDATE orders SET created_at = created_at - interval '15 minutes'")
    await moved(database, "backlog", "due_at")

    await upstream.journaled("applied")
    assert [esim["esimStatus"] for esim in await shop.esims()] == ["FAILED"]
    [event] = await shop.events()
    assert (event["event"], event["newStatus"]) == ("esim.status_changed", "FAILED")
    assert "310272" in event["reason"]


async def test_what_the_provider_says_of_a_refunded_order_counts(operator: Api, sandbox: Sandbox) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    first, second = await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", quantity=2))
    allocate(sandbox, "B1")
    await shop.order("t-1", orderNo="B1", quantity=2)
    await upstream.notify(order_ready("B1"))
    await upstream.journaled("applied")

    sandbox._inventory.esims[first].esim_status = "CANCEL"
    await upstream.notify({"notifyType": "ORDER_STATUS", "content": {"orderNo": "B1", "orderStatus": "REFUND"}})

    await shop.raised_in_time("created", "created", "suspended")
    assert (await shop.events())[-1]["reason"] == "refunded"
    assert {esim["esimTranNo"]: esim["esimStatus"] for esim in await shop.esims()} == {
        first: "CANCEL",
        second: "CREATED",
    }


async def test_what_was_not_understood_of_an_answer_is_reported(
    operator: Api, sandbox: Sandbox, database: Database
) -> None:
    shop = await a_shop(operator)
    await an_upstream(operator, sandbox.base_url)
    [key] = await sandbox.order(Purchase(order_no="B1", transaction_id="t-1"))
    allocate(sandbox, "B1")
    sandbox._inventory.esims[key].smdp_status = "Available"
    await shop.order("t-1", orderNo="B1")

    await moved(database, "orders", "next_poll_at")

    async def reported() -> bool:
        async with database.session() as db:
            rows = await db.conn.fetch("SELECT * FROM provider_doubts WHERE reported_at IS NOT NULL")
        return [(row["word"], row["notification_id"]) for row in rows] == [("Available", None)]

    await eventually(reported)
    assert await shop.raised() == ["created"]


async def test_the_only_esim_of_an_order_is_meant_whatever_is_known_of_it(operator: Api, database: Database) -> None:
    shop, iccid = await a_shop(operator), "8943108165016867110"

    async def answer(_: web.Request) -> web.Response:
        allocated = {"esimTranNo": "K1", "orderNo": "B1", "esimStatus": "GOT_RESOURCE"}
        return web.json_response({"success": True, "obj": {"esimList": [allocated], "pager": {"total": 1}}})

    async with serving(answer) as base_url:
        await an_upstream(operator, base_url)
        await shop.order("t-1", orderNo="B1")
        await shop.update({"transactionId": "t-1", "iccid": iccid, "apn": "internet"})
        await moved(database, "orders", "next_poll_at")
        [esim] = await all_created(shop)

    assert (esim["esimTranNo"], esim["iccid"], esim["esimStatus"]) == ("K1", iccid, "CREATED")


async def test_an_order_of_one_does_not_take_what_the_provider_says_of_a_second(
    operator: Api, database: Database
) -> None:
    shop = await a_shop(operator)

    async def answer(_: web.Request) -> web.Response:
        allocated = [
            {"esimTranNo": "K1", "orderNo": "B1", "esimStatus": "GOT_RESOURCE"},
            {"esimTranNo": "K2", "orderNo": "B1", "esimStatus": "CANCEL", "smdpStatus": "Available"},
        ]
        return web.json_response({"success": True, "obj": {"esimList": allocated, "pager": {"total": 2}}})

    async with serving(answer) as base_url:
        upstream = await an_upstream(operator, base_url)
        await shop.order("t-1", orderNo="B1")
        await upstream.notify(order_ready("B1"))
        await upstream.journaled("applied")

    assert [(esim["esimTranNo"], esim["esimStatus"]) for esim in await shop.esims()] == [("K1", "CREATED")]
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT word FROM provider_doubts") == "Available"


@pytest.mark.parametrize("quantity", [1, 2])
async def test_an_order_does_not_take_what_the_provider_answers_of_another(
    operator: Api, database: Database, quantity: int
) -> None:
    shop = await a_shop(operator)

    async def answer(_: web.Request) -> web.Response:
        allocated = [{"esimTranNo": f"K{n}", "orderNo": f"B{n}", "esimStatus": "GOT_RESOURCE"} for n in (2, 1)]
        return web.json_response({"success": True, "obj": {"esimList": allocated, "pager": {"total": 2}}})

    async with serving(answer) as base_url:
        await an_upstream(operator, base_url)
        await shop.order("t-1", orderNo="B1", quantity=quantity)
        await moved(database, "orders", "next_poll_at")

        async def filled() -> list[Json]:
            return [esim for esim in await shop.esims() if esim["esimStatus"] == "CREATED"]

        await eventually(filled)

    assert [esim["esimTranNo"] for esim in await shop.esims() if esim.get("esimTranNo")] == ["K1"]


async def test_an_order_that_the_provider_refuses_for_good_when_polled_fails(operator: Api, database: Database) -> None:
    shop = await a_shop(operator)

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"success": False, "errorCode": "200011", "errorMsg": "out of stock"})

    async with serving(answer) as base_url:
        await an_upstream(operator, base_url)
        await shop.order("t-1", orderNo="B1", quantity=2)
        await moved(database, "orders", "next_poll_at")
        await shop.raised_in_time("status_changed", "status_changed")

    assert {(event["newStatus"], "out of stock" in event["reason"]) for event in await shop.events()} == {
        ("FAILED", True)
    }
