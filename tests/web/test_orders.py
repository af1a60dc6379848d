"""Orders: `quantity` eSIMs in PENDING; the same transactionId again returns the same order, also at the same time."""

import asyncio
from typing import Any

from api import Answer, Api, Json
from web.routes import is_field, is_problem
from web.rows import pages


async def an_account(operator: Api) -> str:
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    account: str = (await operator.post("/v1/accounts", {"name": "Acme"}))["id"]
    return account


def an_order(account: str, /, **fields: Any) -> Json:
    return {
        "account": account,
        "mode": "test",
        "provider": "upstream",
        "transactionId": "t-1",
        "orderNo": "B1",
        "packageCode": "CKH1",
        "quantity": 2,
    } | fields


async def placed(operator: Api, order: Json) -> Answer:
    answer = await operator.call("POST", "/v1/orders", order)
    assert answer.status in {200, 201}
    return answer


async def test_an_order_makes_its_esims_in_pending(operator: Api) -> None:
    account = await an_account(operator)
    order = await operator.post("/v1/orders", an_order(account, packageName="Europe 1 GB"))

    assert order["id"].startswith("ord_")
    assert {name: order[name] for name in an_order(account)} == an_order(account)
    assert order["packageName"] == "Europe 1 GB"
    assert [esim["esimStatus"] for esim in order["esims"]] == ["PENDING", "PENDING"]
    assert await operator.get(f"/v1/orders/{order['id']}") == order
    esims = (await operator.get(f"/v1/esims?account={account}&mode=test"))["data"]
    assert {esim["id"] for esim in esims} == {esim["id"] for esim in order["esims"]}
    assert {esim["transactionId"] for esim in esims} == {"t-1"}


async def test_the_same_transaction_id_returns_the_same_order(operator: Api) -> None:
    account = await an_account(operator)
    first = (await placed(operator, an_order(account))).body

    again = (await placed(operator, an_order(account))).body
    other_mode = (await placed(operator, an_order(account, mode="live"))).body

    assert again == first
    assert other_mode["id"] != first["id"]
    assert len((await operator.get(f"/v1/esims?account={account}&mode=test"))["data"]) == 2


async def test_ten_at_the_same_time_are_one_order(operator: Api) -> None:
    account = await an_account(operator)

    answers = await asyncio.gather(*(placed(operator, an_order(account)) for _ in range(10)))

    assert len({answer.body["id"] for answer in answers}) == 1
    assert len((await operator.get(f"/v1/esims?account={account}&mode=test"))["data"]) == 2


async def test_orders_are_listed_newest_first_without_their_esims(operator: Api) -> None:
    account = await an_account(operator)
    made = [(await placed(operator, an_order(account, transactionId=f"t-{number}"))).body for number in range(5)]

    found = [row for page in await pages(operator, "/v1/orders", limit=2) for row in page]

    assert [row["id"] for row in found] == [order["id"] for order in made[::-1]]
    assert [row for row in found if "esims" in row] == []


async def test_an_order_for_nobody_or_nowhere_is_refused_and_makes_nothing(operator: Api) -> None:
    account = await an_account(operator)
    for wrong in ({"account": "acc_00000000000000000000000000"}, {"provider": "nobody"}, {"quantity": 1001}):
        is_problem(await operator.call("POST", "/v1/orders", an_order(account, **wrong)), 422)

    assert (await operator.get("/v1/orders"))["data"] == []
    is_problem(await operator.call("GET", "/v1/orders/ord_00000000000000000000000000"), 404)


async def test_orders_are_found_by_account_mode_provider_and_their_numbers(operator: Api) -> None:
    mine, other = await an_account(operator), await an_account(operator)
    await operator.put("/v1/providers/second", {"kind": "esimaccess"})
    orders = {
        "a": an_order(mine, transactionId="t-1", orderNo="B1"),
        "b": an_order(mine, transactionId="t-2", orderNo="B2", provider="second"),
        "c": an_order(mine, transactionId="t-1", orderNo="B3", mode="live"),
        "d": an_order(other, transactionId="t-1", orderNo="B4"),
    }
    made = {(await placed(operator, order)).body["id"]: name for name, order in orders.items()}

    async def found(query: str) -> list[str]:
        return sorted(made[row["id"]] for row in (await operator.get(f"/v1/orders?{query}"))["data"])

    assert await found(f"account={mine}") == ["a", "b", "c"]
    assert await found(f"account={mine}&mode=test") == ["a", "b"]
    assert await found("provider=second") == ["b"]
    assert await found("transactionId=t-1") == ["a", "c", "d"]
    assert await found("transactionId=t-1&mode=live") == ["c"]
    assert await found("orderNo=B4") == ["d"]
    assert await found("orderNo=B4&transactionId=t-2") == []
    is_field(await operator.call("GET", "/v1/orders?account=x"), "query:account", "acc_ and 26 characters")
    is_field(await operator.call("GET", "/v1/orders?mode=x"), "query:mode", "live, test")
