"""Events for many endpoints: their deliveries are made after the commit, once each, and go on after a crash."""

import pytest

from api import Api, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.store.database import Database
from receiver import Receiver
from upstream import Shop, a_shop

ENDPOINTS = 23


async def endpoints(shop: Shop, receiver: Receiver) -> None:
    for number in range(ENDPOINTS):
        url = receiver.url(f"/{number}")
        await shop.operator.post(f"/v1/endpoints?account={shop.account}&mode=test", {"url": url})


async def deliveries(database: Database) -> int:
    async with database.session() as db:
        count: int = await db.conn.fetchval("SELECT count(*) FROM deliveries")
        return count


async def test_every_endpoint_of_many_gets_every_event_once(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    shop = await a_shop(operator)
    await endpoints(shop, receiver)

    await shop.update(*[{"transactionId": f"t-{place}", "esimStatus": "CREATED"} for place in range(5)])

    async def all_made() -> bool:
        return await deliveries(database) == 5 * ENDPOINTS

    await eventually(all_made)
    await receiver.wait_for(5 * ENDPOINTS)
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM fan_outs") == 0
        twice = "SELECT count(*) FROM (SELECT FROM deliveries GROUP BY event_id, endpoint_id HAVING count(*) > 1) d"
        assert await db.conn.fetchval(twice) == 0


@pytest.mark.slow(reason="starts two nodes one after the other")
@pytest.mark.timeout(60)
async def test_a_fan_out_goes_on_at_another_node(settings: Settings, receiver: Receiver, database: Database) -> None:
    without_scheduler = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with running(without_scheduler) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator)
        await endpoints(shop, receiver)
        await shop.update({"transactionId": "t-1", "esimStatus": "CREATED"})
    assert await deliveries(database) == 0

    async with running(settings):
        await receiver.wait_for(ENDPOINTS)

    assert await deliveries(database) == ENDPOINTS
