"""SIGTERM under load: what is at hand is finished and written, what waits is left whole, and nothing is sent twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import ClientError

from api import Api, Json, Merchant, a_merchant, eventually
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from receiver import Receiver
from system.gated_answers import answered_after
from system.node_process import NodeProcess, settings_of

pytestmark = [
    pytest.mark.slow(reason="starts nodes as processes of their own and lets them end in their own time"),
    pytest.mark.timeout(120),
]

EVENTS = 200
EXIT_LIMIT_S = 15.0


@pytest.fixture
async def node(settings: Settings, tmp_path: Path) -> AsyncIterator[NodeProcess]:
    process = NodeProcess(settings_of(settings), tmp_path / "node.log")
    await process.start()
    yield process
    process.clear_up()


async def test_a_stop_under_load_finishes_what_is_in_flight_and_repeats_nothing(
    node: NodeProcess, settings: Settings, receiver: Receiver, database: Database
) -> None:
    receiver.answer(script=[answered_after(0.5 + index / 100) for index in range(50)] * 20)
    await _raise_events(node, settings, receiver)
    await receiver.wait_for(30)

    began = monotonic()
    node.terminate()
    exit_code = await node.exit_code()
    took_s = monotonic() - began
    sent = {request.headers["webhook-id"] for request in receiver.received}
    delivered = await _count(database, "deliveries WHERE status = 'delivered'")
    leased = await _count(database, "lanes WHERE leased_until > now()")
    claimed = await _count(database, "queue WHERE claim_token <> 0 OR claims <> 0")
    await node.start()
    await receiver.wait_for(EVENTS, timeout=60)
    await eventually(lambda: _all_delivered(database))
    node.terminate()
    last_exit_code = await node.exit_code()

    print(f"\nstopped in {took_s:.1f} s; {len(sent)} of {EVENTS} were sent by then")
    assert (exit_code, last_exit_code) == (0, 0)
    assert took_s < EXIT_LIMIT_S
    assert 30 <= len(sent) < EVENTS
    assert delivered == len(sent)
    assert (leased, claimed) == (0, 0)
    copies = Counter(request.headers["webhook-id"] for request in receiver.received)
    assert len(copies) == EVENTS
    assert set(copies.values()) == {1}


async def test_a_request_at_hand_is_answered_before_the_node_ends(
    node: NodeProcess, settings: Settings, database: Database
) -> None:
    async with Api(node.url, _key(settings)) as operator:
        merchant = await a_merchant(operator)
        async with database.transaction() as db:
            await db.conn.execute("LOCK TABLE notifications IN SHARE MODE")  # nothing is journaled while it is locked
            handing_in = asyncio.ensure_future(_hand_in(operator, merchant, 1))
            await eventually(lambda: _somebody_waits_for_a_lock(database))
            node.terminate()
            await eventually(lambda: _takes_no_more_connections(node))
            answered_early = handing_in.done()
        answer = await handing_in
    exit_code = await node.exit_code()

    assert not answered_early
    assert [result["outcome"] for result in answer["results"]] == ["applied"]
    assert await _count(database, "notifications") == 1
    assert exit_code == 0


async def test_a_receiver_that_outlasts_the_stop_is_cut_off_and_called_again(
    node: NodeProcess, settings: Settings, receiver: Receiver, database: Database
) -> None:
    receiver.answer(script=[answered_after(60)])
    async with Api(node.url, _key(settings)) as operator:
        merchant = await a_merchant(operator)
        async with operator.as_key(merchant.key) as api:
            await api.post("/v1/endpoints", {"url": receiver.url(), "timeout": 30})
        await _hand_in(operator, merchant, 1)
    await receiver.wait_for(1)

    began = monotonic()
    node.terminate()
    exit_code = await node.exit_code()
    took_s = monotonic() - began
    async with database.session() as db:
        leased = await db.conn.fetchval(
            "UPDATE lanes SET leased_until = now() WHERE leased_until > now() RETURNING true"
        )
    receiver.answer(status=200)
    await node.start()
    await eventually(lambda: _all_delivered(database))
    node.terminate()
    await node.exit_code()

    assert exit_code == 0
    assert took_s < EXIT_LIMIT_S
    assert leased is True  # nobody knows what came of it, so nobody else was let in at once
    assert [request.headers["webhook-attempt"] for request in receiver.received] == ["1", "1"]


async def _raise_events(node: NodeProcess, settings: Settings, receiver: Receiver) -> None:
    async with Api(node.url, _key(settings)) as operator:
        merchant = await a_merchant(operator, webhook_url=receiver.url())
        await _hand_in(operator, merchant, EVENTS)


async def _hand_in(operator: Api, merchant: Merchant, count: int) -> Json:
    updates = [{"transactionId": f"shop-{number}", "esimStatus": "CREATED"} for number in range(count)]
    return await operator.post(
        "/v1/updates", {"account": merchant.account, "mode": "test", "updates": updates}, status=200
    )


def _key(settings: Settings) -> str:
    assert settings.admin_key is not None
    return settings.admin_key.get_secret_value()


async def _count(database: Database, rows: str) -> int:
    async with database.session() as db:
        return int(await db.conn.fetchval(f"SELECT count(*) FROM {rows}"))


async def _all_delivered(database: Database) -> bool:
    return await _count(database, "queue") == 0 and not await _count(database, "deliveries WHERE status <> 'delivered'")


async def _somebody_waits_for_a_lock(database: Database) -> bool:
    return await _count(database, "pg_locks WHERE NOT granted AND relation = 'notifications'::regclass") > 0


async def _takes_no_more_connections(node: NodeProcess) -> bool:
    try:
        async with Api(node.url, "") as stranger:
            await stranger.call("GET", "/healthz")
    except ClientError:
        return True
    return False
