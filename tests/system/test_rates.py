"""Rate limits of endpoints, as receivers see them: whichever of several nodes sends."""

from itertools import pairwise

import pytest

from api import Api, a_merchant, eventually
from esimhooks.server.domain.pace import CATCH_UP_S
from esimhooks.server.store.database import Database
from receiver import Receiver
from system.dispatcher_processes import DispatcherProcess, Dispatchers
from system.sent_webhooks import an_endpoint, an_event
from system.stored_lanes import all_delivered

pytestmark = [
    pytest.mark.slow(reason="waits for requests that are spaced on purpose"),
    pytest.mark.timeout(300),
]

JITTER_S = 0.05
"""How much later than the turn was given an attempt may note its start, on a machine that may be busy."""


async def test_a_slow_endpoint_does_not_hold_up_the_turns_of_a_faster_one(merchant: Api, receiver: Receiver) -> None:
    await an_endpoint(merchant, receiver.url("/slow"), eventTypes=["esim.created"], rateLimit=1)
    await an_endpoint(merchant, receiver.url("/fast"), eventTypes=["esim.expired"], rateLimit=10)
    for _ in range(4):
        await an_event(merchant, "esim.created")

    for _ in range(15):
        await an_event(merchant, "esim.expired")

    async def fast_ones() -> list[float]:
        arrived = [one.at for one in receiver.received if one.path == "/fast"]
        return arrived if len(arrived) == 15 else []

    arrived = await eventually(fast_ones, within_s=20)
    slow_ones = [one.at for one in receiver.received if one.path == "/slow"]
    assert arrived[-1] - arrived[0] >= 14 / 10 - 0.1
    assert arrived[-1] - arrived[0] < 3
    assert all(later - earlier > 0.9 for earlier, later in pairwise(slow_ones))


@pytest.mark.parametrize(("per_second", "events"), [(2, 5), (20, 60)])
async def test_a_rate_limit_holds_while_the_lane_goes_from_one_node_to_another(
    intake: Api, dispatchers: Dispatchers, receiver: Receiver, database: Database, per_second: int, events: int
) -> None:
    merchant = await a_merchant(intake)
    nodes = [await dispatchers.start(), await dispatchers.start()]
    async with intake.as_key(merchant.key) as caller:
        await an_endpoint(caller, receiver.url(), rateLimit=per_second)
        for _ in range(events):
            await an_event(caller)

    await receiver.wait_for(events // 2, timeout=90)
    [sending] = [node for node in nodes if await dispatchers.held_by(node)]
    [other] = [node for node in nodes if node is not sending]
    sending.node.terminate()
    await eventually(lambda: _holds_a_lane(dispatchers, other), within_s=90)
    await eventually(lambda: all_delivered(database), within_s=90)

    started = await _starts(database)
    spans = [later - earlier for earlier, later in zip(started, started[per_second:], strict=False)]
    assert len(receiver.received) == len(started) == events
    assert min(spans) >= 1 - CATCH_UP_S - JITTER_S


async def _holds_a_lane(dispatchers: Dispatchers, node: DispatcherProcess) -> bool:
    return bool(await dispatchers.held_by(node))


async def _starts(database: Database) -> list[float]:
    """Return when each attempt started, in seconds, first to last."""
    async with database.session() as db:
        rows = await db.conn.fetch("SELECT extract(epoch FROM started_at)::float8 AS at FROM attempts ORDER BY 1")
    return [row["at"] for row in rows]
