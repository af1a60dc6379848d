"""The journal is searched by provider, outcome, eSIM, the numbers of eSIMs, and time."""

from datetime import UTC, datetime, timedelta

from api import Api
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from upstream import a_shop, allocate, an_upstream, esim_status, order_ready
from web.routes import is_field


async def found(operator: Api, query: str) -> list[str]:
    """Return the ids, oldest first."""
    return [row["id"] for row in (await operator.get(f"/v1/notifications?{query}"))["data"]][::-1]


async def test_what_was_reported_of_an_esim_is_found_by_each_of_its_numbers(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1")
    await shop.update(
        {"transactionId": "t-1", "esimTranNo": "K1", "iccid": "8943000000123456785", "esimStatus": "IN_USE"}
    )
    await shop.update({"transactionId": "t-2", "iccid": "8943000000123456793", "esimStatus": "IN_USE"})
    await upstream.notify(esim_status("K1", "SUSPENDED"))
    [esim] = await shop.esims(transactionId="t-1")
    [first, _, third] = await found(operator, "")

    assert await found(operator, f"esim={esim['id']}") == [first, third]
    assert await found(operator, "iccid=8943000000123456785") == [first, third]
    assert await found(operator, "transactionId=t-1") == [first, third]
    assert await found(operator, "orderNo=B1&source=upstream") == [third]
    assert await found(operator, "iccid=8943000000123456785&transactionId=t-2") == []
    assert await found(operator, "iccid=89") == []
    is_field(await operator.call("GET", "/v1/notifications?esim=x"), "query:esim", "esim_ and 26 characters")


async def test_what_was_reported_of_several_esims_is_found_by_each_of_them(operator: Api, sandbox: Sandbox) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", quantity=3))
    allocate(sandbox, "B1")
    await shop.order("t-1", orderNo="B1", quantity=3)
    await upstream.notify(order_ready("B1"))
    applied = await upstream.journaled("applied")
    esims = await shop.esims()

    assert [await found(operator, f"esim={esim['id']}") for esim in esims] == [[applied["id"]]] * 3
    assert await found(operator, f"iccid={esims[-1]['iccid']}") == [applied["id"]]
    assert await found(operator, f"esim={esims[-1]['id']}&outcome=unmatched") == []


async def test_what_waits_for_its_esim_is_found_by_its_order(operator: Api) -> None:
    await a_shop(operator)
    upstream = await an_upstream(operator)
    for order_no in ("B7", "B8"):
        await upstream.notify(order_ready(order_no))
        await upstream.journaled("unmatched")
    [first, second] = await found(operator, "")

    assert await found(operator, "orderNo=B7") == [first]
    assert await found(operator, "orderNo=B8&outcome=unmatched") == [second]
    assert await found(operator, "orderNo=B8&outcome=applied") == []


async def test_the_journal_is_narrowed_by_time(operator: Api) -> None:
    shop = await a_shop(operator)
    await shop.update({"transactionId": "t-1", "esimStatus": "IN_USE"})
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    assert len(await found(operator, f"to={tomorrow}&from=2020-01-01T00:00:00Z")) == 1
    assert await found(operator, f"from={tomorrow}") == []
    is_field(await operator.call("GET", "/v1/notifications?from=yesterday"), "query:from", "2026-04-22T17:27:44Z")
