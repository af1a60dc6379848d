"""Rate limits of endpoints, as receivers see them: whichever of several nodes sends."""

import pytest

from api import Api, a_merchant, eventually
from esimhooks.server.domain.schedule import CATCH_UP_S
from esimhooks.server.store.database import Database
from receiver import Receiver, status
from system.dispatcher_processes import Dispatchers
from system.gated_answers import Gate
from system.sent_webhooks import an_endpoint, an_event
from system.stored_lanes import all_delivered

pytestmark = [
    pytest.mark.slow(reason="waits for requests that are spaced on purpose"),
    pytest.mark.timeout(300),
]

JITTER_S = 0.2
"""How much later than the turn was given an attempt may note its start, on a machine that may be busy."""
SLOW = 25
FAST = 15


async def test_a_slow_endpoint_does_not_hold_up_the_turns_of_a_faster_one(merchant: Api, receiver: Receiver) -> None:
    await an_endpoint(merchant, receiver.url("/slow"), eventTypes=["esim.created"], rateLimit=1)
    await an_endpoint(merchant, receiver.url("/fast"), eventTypes=["esim.expired"], rateLimit=10)
    for _ in range(SLOW):
        await an_event(merchant, "esim.created")

    for _ in range(FAST):
        await an_event(merchant, "esim.expired")

    async def fast_indices() -> list[int]:
        indices = [index for index, one in enumerate(receiver.received) if one.path == "/fast"]
        return indices if len(indices) == FAST else []

    first, *_, last = await eventually(fast_indices)
    slow_between = last - first + 1 - FAST
    assert slow_between < FAST / 2  # turn by turn there would be as many as fast ones


@pytest.mark.parametrize(("per_second", "events"), [(2, 8), (20, 60)])
async def test_a_rate_limit_holds_while_the_lane_goes_from_one_node_to_another(
    intake: Api, dispatchers: Dispatchers, receiver: Receiver, database: Database, per_second: int, events: int
) -> None:
    before = events // 2
    on_the_way = Gate()  # while its receiver has not answered, the lane stays with the node that sends
    receiver.answer(script=[*[status()] * before, on_the_way.answer])
    merchant = await a_merchant(intake)
    nodes = [await dispatchers.start(), await dispatchers.start()]
    async with intake.as_key(merchant.key) as caller:
        await an_endpoint(caller, receiver.url(), rateLimit=per_second, maxInFlight=2, timeout=30)
        for _ in range(events):
            await an_event(caller)

    await receiver.wait_for(before + 1, timeout=90)
    [sending] = [node for node in nodes if await dispatchers.leased_by(node)]
    leased = await _lease_token(database)
    sending.node.terminate()
    on_the_way.open()
    await eventually(lambda: all_delivered(database), within_s=90)

    assert await _lease_token(database) > leased  # the other node has sent the rest
    started = await _starts(database)
    spans = [later - earlier for earlier, later in zip(started, started[per_second:], strict=False)]
    assert len(receiver.received) == len(started) == events
    assert min(spans) >= 1 - CATCH_UP_S - JITTER_S


async def _lease_token(database: Database) -> int:
    """Return the token of the only lane's latest lease."""
    async with database.session() as db:
        return int(await db.conn.fetchval("SELECT lease_token FROM lanes"))


async def _starts(database: Database) -> list[float]:
    """Return when each attempt started, in seconds, first to last."""
    async with database.session() as db:
        rows = await db.conn.fetch("SELECT extract(epoch FROM started_at)::float8 AS at FROM attempts ORDER BY 1")
    return [row["at"] for row in rows]
