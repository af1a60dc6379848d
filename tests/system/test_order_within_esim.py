"""Endpoints that keep the order within an eSIM: each receives its events one after the other, whatever fails meanwhile."""

from collections import defaultdict
from itertools import groupby
from random import Random

import msgspec
import pytest

from api import Api, a_merchant, eventually
from esimhooks.server.store.database import Database
from receiver import Behaviour, Receiver, status
from system.dispatcher_processes import Dispatchers
from system.gated_answers import answered_after
from system.sent_webhooks import an_endpoint
from system.stored_lanes import all_delivered

pytestmark = [
    pytest.mark.slow(
        reason="waits for retries, with dispatchers as processes of their own, on a machine that may be busy"
    ),
    pytest.mark.timeout(300),
]

ESIMS = 12
PERCENTS = (0, 10, 20, 30, 40)
EVENTS = 1 + len(PERCENTS)
"""Created, activated, and a step of usage each."""
PATHS = ("/one", "/two", "/three")
SCHEDULE = [0, *[1] * 19]


async def test_the_order_within_an_esim_outlives_failures_and_the_death_of_one_of_two_dispatchers(
    intake: Api, dispatchers: Dispatchers, receiver: Receiver, database: Database
) -> None:
    rng = Random(1)
    merchant = await a_merchant(intake)
    async with intake.as_key(merchant.key) as caller:
        for path in PATHS:
            receiver.answer(path, script=[_now_and_then_failing(rng) for _ in range(500)])
            await an_endpoint(caller, receiver.url(path), ordering="esim", retrySchedule=SCHEDULE)

    first, _ = await dispatchers.start(), await dispatchers.start()
    await _live(intake, merchant.account)
    await receiver.wait_for(len(PATHS) * ESIMS * EVENTS // 3, timeout=60)
    first.node.kill()
    await dispatchers.forget(first)
    await eventually(lambda: all_delivered(database), within_s=120)

    sequences: dict[tuple[str, str], list[int]] = defaultdict(list)
    for request in receiver.received:
        body = msgspec.json.decode(request.body)
        sequences[request.path, body["data"]["esimTranNo"]].append(body["sequence"])
    again = len(receiver.received) - len(PATHS) * ESIMS * EVENTS
    print(f"\n{len(receiver.received)} requests, {again} of them again")
    assert again > 0
    assert len(sequences) == len(PATHS) * ESIMS
    one_after_the_other = list(range(1, EVENTS + 1))
    assert [
        key for key, arrived in sequences.items() if [one for one, _ in groupby(arrived)] != one_after_the_other
    ] == []


def _now_and_then_failing(rng: Random) -> Behaviour:
    return answered_after(rng.uniform(0, 0.05), status(500 if rng.random() < 0.2 else 200))


async def _live(intake: Api, account: str) -> None:
    """Create the eSIMs, activate them, then report their usage step by step: one event each."""
    for index, percent in enumerate((0, *PERCENTS)):
        updates = [
            {
                "transactionId": f"shop-{number}",
                "esimTranNo": f"E{number}",
                "esimStatus": "IN_USE" if index else "CREATED",
                "totalVolume": 1000,
                "dataUsage": 1000 * percent / 100,
                "occurredAt": f"2026-11-25T10:{index:02}:00Z",
            }
            for number in range(ESIMS)
        ]
        await intake.post("/v1/updates", {"account": account, "mode": "test", "updates": updates}, status=200)
