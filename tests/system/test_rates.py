"""Rate limits of endpoints, as receivers see them."""

from itertools import pairwise

import pytest

from api import Api, eventually
from receiver import Receiver
from system.sent_webhooks import an_endpoint, an_event

pytestmark = [
    pytest.mark.slow(reason="waits for requests that are spaced on purpose"),
    pytest.mark.timeout(60),
]


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
