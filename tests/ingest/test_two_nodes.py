"""What comes in at once over two nodes, with orders and replays beside it: each eSIM has one story."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random

import pytest
from aiohttp import ClientSession

from api import Api, Json, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from ingest.test_sequence import PROVIDERS, World, a_step
from receiver import Receiver

ROUNDS = int(os.environ.get("TWO_NODES_ROUNDS", "6"))
STEPS = 40
AT_ONCE = 8
NOT_IN_CHANGES = {"updatedAt", "validity_usage_remain", "transactionId", "orderNo", "esimTranNo", "iccid"}
"""What changes without being in `changes`: by the clock, and what names an eSIM."""


@asynccontextmanager
async def two_nodes(settings: Settings) -> AsyncIterator[tuple[Api, Api]]:
    async with (
        running(settings) as one,
        running(settings) as other,
        Api(one.url, one.admin_key) as first,
        Api(other.url, other.admin_key) as second,
    ):
        yield first, second


async def inbound_urls(operator: Api) -> dict[str, str]:
    return {
        name: (await operator.call("PUT", f"/v1/providers/{name}", {"kind": "esimaccess"})).body["inboundUrl"]
        for name in PROVIDERS
    }


async def replay_some(operator: Api, rng: Random) -> None:
    for entry in (await operator.get("/v1/notifications?limit=100"))["data"]:
        if rng.random() < 0.2:
            await operator.call("POST", f"/v1/notifications/{entry['id']}/replay")


async def order_again(operator: Api, account: str, transaction: str) -> None:
    order = {"account": account, "mode": "test", "provider": "one", "packageCode": "P", "quantity": 2}
    for number in range(3):
        await operator.post(
            "/v1/orders", order | {"transactionId": f"late{number}-{transaction}", "orderNo": f"L{number}"}
        )


async def everything(operator: Api, path: str) -> list[Json]:
    """Return all of a list, oldest first."""
    found, cursor = [], ""
    while True:
        page = await operator.get(f"{path}&limit=100{cursor}")
        found += page["data"]
        if not page.get("nextCursor"):
            return found[::-1]
        cursor = f"&cursor={page['nextCursor']}"


def check_story(esim: Json, events: list[Json]) -> None:
    """An eSIM's events are numbered without gaps, and each change begins where the one before has ended."""
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    for before, event in pairwise(events):
        data, last = event["data"], before["data"]
        if data == last:
            continue  # another event of the same change
        assert event.get("previousStatus", last["esimStatus"]) == last["esimStatus"]
        changes = event.get("changes", {})
        assert {name: change["old"] for name, change in changes.items()} == {name: last.get(name) for name in changes}
        assert {
            name for name in data.keys() | last.keys() if data.get(name) != last.get(name)
        } <= changes.keys() | NOT_IN_CHANGES
    for name in ("esimStatus", "smdpStatus", "totalVolume", "dataUsage") if events else ():
        assert esim[name] == events[-1]["data"][name]


@pytest.mark.slow(reason="sends some hundred requests to two nodes")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_each_esim_has_one_story_whichever_node_hears_of_it(
    settings: Settings, database: Database, receiver: Receiver, seed: int
) -> None:
    rng = Random(seed)
    async with two_nodes(settings) as nodes, ClientSession() as session:
        inbound = await inbound_urls(nodes[0])
        world = await World(nodes[0], session, inbound, f"w{seed}").begin()
        others = {name: url.replace(nodes[0].url, nodes[1].url) for name, url in inbound.items()}
        twin = World(nodes[1], session, others, f"w{seed}")
        twin.account = world.account
        where = f"account={world.account}&mode=test"
        await nodes[0].post(f"/v1/endpoints?{where}", {"url": receiver.url("/hook")})
        steps = iter([a_step(rng) for _ in range(STEPS)])

        async def send(hears: World) -> None:
            for step in steps:
                await hears.send([step])

        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(send((world, twin)[number % 2]))
            for node in nodes:
                group.create_task(order_again(node, world.account, f"w{seed}"))
                group.create_task(replay_some(node, Random(seed)))

        async def is_quiet() -> bool:
            async with database.session() as db:
                due = "SELECT (SELECT count(*) FROM backlog) + (SELECT count(*) FROM queue) + (SELECT count(*) FROM fan_outs)"
                return bool(await db.conn.fetchval(due) == 0)

        await eventually(is_quiet)
        esims = await everything(nodes[1], f"/v1/esims?{where}")
        events = await everything(nodes[0], f"/v1/events?{where}")
        by_esim: dict[str, list[Json]] = defaultdict(list)
        for event in sorted(events, key=lambda one: one["sequence"]):
            by_esim[event["data"]["id"]].append(event)
        for esim in esims:
            check_story(esim, by_esim[esim["id"]])
        async with database.session() as db:
            slots = await db.conn.fetch("SELECT count(*) FROM esims WHERE order_id IS NOT NULL GROUP BY order_id")
            keys = await db.conn.fetch(
                "SELECT count(*) FROM esims WHERE esim_tran_no IS NOT NULL GROUP BY coalesce(provider, account_id::text), esim_tran_no"
            )
        assert [count for (count,) in slots] == [2] * 5
        assert {count for (count,) in keys} <= {1}
        received = [one.headers["webhook-id"] for one in receiver.received]
        assert sorted(received) == sorted(event["id"] for event in events)
