"""The breaker as a receiver sees it: after ten failures one request at a time, then 1, 2, 4 ... at a time.

The rests between probes are let pass in the database.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from api import Api, Json, eventually
from esimhooks.server.store.database import Database
from receiver import Receiver
from system.gated_answers import Turnstile
from system.sent_webhooks import an_endpoint, an_event

pytestmark = [
    pytest.mark.slow(reason="watches dozens of requests one after the other, on a machine that may be busy"),
    pytest.mark.timeout(200),
]

OPENS_AT = 10
CAP = 8
EVENTS = 60
PROBES = 3
FAILED = OPENS_AT + CAP - 1 + PROBES


@pytest.fixture
async def turnstile(receiver: Receiver) -> AsyncIterator[Turnstile]:
    """Every request waits until the test lets it through; all pass when the test is over."""
    gate = Turnstile()
    receiver.answer(script=[gate.answer])
    yield gate
    gate.open()


async def test_a_failing_receiver_is_probed_by_one_request_at_a_time_and_comes_back_in_doubling_steps(
    merchant: Api, receiver: Receiver, turnstile: Turnstile, database: Database
) -> None:
    await an_endpoint(merchant, receiver.url(), maxInFlight=CAP, retrySchedule=[0, 600], timeout=30)
    # At once: the first of them wait at the turnstile until all are there, and must not time out meanwhile.
    await asyncio.gather(*(an_event(merchant) for _ in range(EVENTS)))

    for _ in range(OPENS_AT):
        await _holds(turnstile, CAP)
        turnstile.let_through(1, code=500)
    await _holds(turnstile, CAP - 1)  # those that were in flight when it opened
    turnstile.let_through(CAP - 1, code=500)
    assert turnstile.peak_since_last_read() == CAP
    for _ in range(PROBES):
        await _cooldown_ends(database)
        await _holds(turnstile, 1)
        turnstile.let_through(1, code=500)
    assert turnstile.peak_since_last_read() == 1
    assert len(receiver.received) == FAILED
    await _cooldown_ends(database)

    steps = []
    for expected in (1, 2, 4, 8, 8):
        await _holds(turnstile, expected)
        turnstile.peak_since_last_read()
        steps.append(turnstile.waiting)
        turnstile.let_through(expected, code=200)
    turnstile.open()
    delivered = await eventually(lambda: _all_that_waited_arrive(merchant, EVENTS - FAILED), within_s=90)

    assert steps == [1, 2, 4, 8, 8]
    assert turnstile.peak_since_last_read() <= CAP
    assert {one["attemptCount"] for one in delivered} == {1}  # waiting has used up nothing


async def _holds(turnstile: Turnstile, count: int) -> None:
    async def enough() -> bool:
        return turnstile.waiting >= count

    await eventually(enough, within_s=60)


async def _cooldown_ends(database: Database) -> None:
    """Wait until the lane is given back to rest, and let the rest pass."""

    async def ended() -> bool:
        async with database.session() as db:
            changed = await db.conn.fetchval(
                """
                UPDATE lanes SET held_until = now()
                WHERE held_until > now() AND leased_until IS NULL AND allowed = 1 RETURNING true
                """
            )
        return bool(changed)

    await eventually(ended, within_s=60)


async def _all_that_waited_arrive(merchant: Api, count: int) -> Json:
    found = (await merchant.get("/v1/deliveries?status=delivered&limit=100"))["data"]
    return found if len(found) >= count else None
