"""Rows that do not decrypt, and accounts with many endpoints, while updates come in."""

import json
from typing import Any

import pytest

from api import Api, Json, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from receiver import Receiver
from upstream import Shop, a_shop, an_upstream, esim_status, moved

FLIPPED = "set_byte({0}, length({0}) - 1, get_byte({0}, length({0}) - 1) # 1)"


def created(transaction_id: str = "t-1", **fields: Any) -> Json:
    return {"transactionId": transaction_id, "esimStatus": "CREATED"} | fields


async def flip(database: Database, transaction_id: str) -> None:
    """Spoil the encrypted credentials of an eSIM, or restore them."""
    async with database.transaction() as db:
        await db.conn.execute(
            f"UPDATE esims SET sealed_credentials = {FLIPPED.format('sealed_credentials')} WHERE transaction_id = $1",
            transaction_id,
        )


async def test_updates_of_an_unreadable_esim_wait_and_harm_nobody_beside_them(
    operator: Api, database: Database
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.update(created("t-1", esimTranNo="K1", ac="LPA:1$a$b", provider="upstream"))
    await shop.update(created("t-2"))
    await flip(database, "t-1")

    results = await shop.update(
        {"esimTranNo": "K1", "esimStatus": "IN_USE"},
        {"transactionId": "t-2", "esimStatus": "IN_USE"},
    )
    answer = await upstream.notify(esim_status("K1", "IN_USE"))
    [new] = await shop.update(created("t-1", esimTranNo="K2", replaces="K1"))

    assert [one["outcome"] for one in results] == ["waiting", "applied"]
    assert (answer.body["outcome"], new["outcome"]) == ("waiting", "waiting")
    await flip(database, "t-1")


async def test_what_waits_for_an_unreadable_esim_is_applied_in_its_order_once_it_is_readable(
    operator: Api, database: Database
) -> None:
    shop = await a_shop(operator)
    [made] = await shop.update(created("t-1", ac="LPA:1$a$b"))
    await flip(database, "t-1")
    statuses = ["IN_USE", "SUSPENDED"] * 3
    for index, status in enumerate(statuses):
        await shop.update(created("t-1", esimStatus=status))
        await all_put_off(database, index + 1)

    await flip(database, "t-1")
    async with database.transaction() as db:  # the last one's turn comes first
        newest = "(SELECT notification_id FROM backlog ORDER BY received_at DESC LIMIT 1)"
        await db.conn.execute(f"UPDATE backlog SET due_at = now() WHERE notification_id = {newest}")

    await shop.raised_in_time("created", *["activated", "suspended"] * 3, esim_id=made["esim"])


async def test_a_notification_that_waits_is_tried_at_once_where_a_person_replays_it(
    operator: Api, database: Database
) -> None:
    shop = await a_shop(operator)
    [made] = await shop.update(created("t-1", ac="LPA:1$a$b"))
    await flip(database, "t-1")
    await shop.update(created("t-1", esimStatus="IN_USE"))
    await all_put_off(database, 1)
    async with database.transaction() as db:
        await db.conn.execute("UPDATE backlog SET due_at = now() + interval '1 hour'")
    await flip(database, "t-1")

    [waiting] = (await operator.get("/v1/notifications?outcome=waiting"))["data"]
    assert (await operator.call("POST", f"/v1/notifications/{waiting['id']}/replay")).status < 300

    await shop.raised_in_time("created", "activated", esim_id=made["esim"])


async def test_one_that_cannot_be_applied_keeps_back_those_of_its_esim_and_no_others(
    operator: Api, database: Database
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    for key, status, transaction_id in (("K1", "SUSPENDED", "t-1"), ("K1", "IN_USE", "t-1"), ("K2", "IN_USE", "t-2")):
        await upstream.notify(esim_status(key, status, transactionId=transaction_id))
    async with database.transaction() as db:
        await db.conn.execute("ALTER TABLE events ADD CONSTRAINT refused CHECK (type <> 'esim.suspended') NOT VALID")
    try:
        [first] = (await shop.order("t-1"))["esims"]
        [second] = (await shop.order("t-2"))["esims"]
        await shop.raised_in_time("activated", esim_id=second["id"])
        await all_put_off(database, 2)
        assert await shop.raised(first["id"]) == []
    finally:
        async with database.transaction() as db:
            await db.conn.execute("ALTER TABLE events DROP CONSTRAINT refused")

    await moved(database, "backlog", "due_at")

    await shop.raised_in_time("suspended", "activated", esim_id=first["id"])


async def all_put_off(database: Database, number: int) -> None:
    """Wait until so many notifications have been tried in vain and wait for their next turn."""

    async def found() -> bool:
        async with database.session() as db:
            rows = await db.conn.fetch("SELECT tries, due_at > now() AS later FROM backlog")
        return len(rows) == number and all(row["tries"] and row["later"] for row in rows)

    await eventually(found)


@pytest.mark.slow(reason="sends some hundred webhooks")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("ordering", ["none", "esim"])
async def test_events_for_many_endpoints_reach_each_once_and_in_order(
    settings: Settings, receiver: Receiver, ordering: str
) -> None:
    endpoints, statuses = 45, ["IN_USE", "SUSPENDED"] * 7
    async with running(settings) as node, running(settings), Api(node.url, node.admin_key) as operator:
        merchant = await a_merchant(operator)
        shop = Shop(operator, merchant.account)
        async with operator.as_key(merchant.key) as api:
            for number in range(endpoints):
                await api.post("/v1/endpoints", {"url": receiver.url(f"/{number}"), "ordering": ordering})
        await shop.update(created(), *[created(esimStatus=status) for status in statuses])

        received = await receiver.wait_for(endpoints * (1 + len(statuses)), timeout=30)

    of_path: dict[str, list[int]] = {}
    for one in received:
        of_path.setdefault(one.path, []).append(json.loads(one.body)["sequence"])
    assert len(of_path) == endpoints
    for sequences in of_path.values():
        assert (sequences if ordering == "esim" else sorted(sequences)) == list(range(1, len(statuses) + 2))
