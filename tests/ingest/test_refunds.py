"""A refund counts whatever the clock of the node that works it off says."""

import asyncio
from datetime import UTC, datetime, timedelta

from aiohttp import ClientSession

from api import Api, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.jobs.backlog import Backlog
from esimhooks.server.providers import registry
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store.database import Database
from upstream import a_shop, an_upstream, esim_status


async def test_a_refund_counts_although_the_clock_of_the_node_is_behind(settings: Settings, database: Database) -> None:
    only_api = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with (
        running(only_api) as node,
        Api(node.url, node.admin_key) as operator,
        ClientSession() as session,
    ):
        shop, upstream = await a_shop(operator), await an_upstream(operator)
        await shop.order("t-1", orderNo="B1")
        await upstream.notify(esim_status("K1", "IN_USE", orderNo="B1"))
        await upstream.notify({"notifyType": "ORDER_STATUS", "content": {"orderNo": "B1", "orderStatus": "REFUND"}})
        clients = ProviderClients(database, lambda config, pace: registry.build(config, session, pace))
        wakes = Wakes(due=Wake(), backlog=Wake(), fan_out=Wake(), doubts=Wake(), streams=Wake())
        policy = EmitPolicy(thresholds=settings.thresholds, usage_interval_s=settings.usage_interval_s)
        behind = Backlog(
            database, clients, policy=policy, clock=lambda: datetime.now(UTC) - timedelta(seconds=30), wakes=wakes
        )

        async def is_refunded() -> bool:
            await behind.process_due()
            return await shop.raised() == ["activated", "suspended"]

        queries = asyncio.create_task(behind.run_queries())
        await eventually(is_refunded)
        queries.cancel()
