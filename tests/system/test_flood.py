"""A lane in which twenty thousand deliveries are due beside a lane with one (product, promise 6): the one has its turn.

Compared by how many of the flood arrive before it, never by time.
"""

from collections import Counter

import pytest

from api import Api, Merchant, a_merchant
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import Mode
from receiver import Receiver
from system.dispatcher_processes import Dispatchers
from system.gated_answers import Gate
from system.sent_webhooks import an_endpoint, an_event, in_status
from system.stored_lanes import more_due

pytestmark = [
    pytest.mark.slow(reason="makes twenty thousand deliveries, on a machine that may be busy"),
    pytest.mark.timeout(300),
]

FLOOD = 20_000
BATCH = 2_000
MAX_BEFORE = FLOOD // 20
AT_ONCE = 10


async def test_one_delivery_is_sent_beside_a_flood_whose_receiver_takes_all_it_can_get(
    intake: Api, dispatchers: Dispatchers, receiver: Receiver, database: Database
) -> None:
    flooded = await a_merchant(intake, webhook_url=receiver.url("/flood"))
    neighbour = await a_merchant(intake, webhook_url=receiver.url("/one"))
    await _flood(database, flooded)
    await dispatchers.start()
    await receiver.wait_for(100, timeout=60)

    async with intake.as_key(neighbour.key) as caller:
        event = await an_event(caller)
        before = len(receiver.received)
        await in_status(caller, event, "delivered", within_s=60)

    [index] = [index for index, request in enumerate(receiver.received) if request.path == "/one"]
    print(f"\n{index - before} of the flood arrived first")
    assert index - before < MAX_BEFORE


async def test_one_delivery_is_sent_beside_a_flood_whose_receiver_hangs(
    intake: Api, dispatchers: Dispatchers, receiver: Receiver, database: Database
) -> None:
    hanging = Gate()
    receiver.answer("/flood", script=[hanging.answer])
    flooded = await a_merchant(intake)
    neighbour = await a_merchant(intake, webhook_url=receiver.url("/one"))
    async with intake.as_key(flooded.key) as caller:
        await an_endpoint(caller, receiver.url("/flood"), timeout=30, maxInFlight=AT_ONCE)
    await _flood(database, flooded)
    await dispatchers.start(max_in_flight=str(AT_ONCE))

    async with intake.as_key(neighbour.key) as caller:
        await in_status(caller, await an_event(caller), "delivered", within_s=60)
        meanwhile = Counter(request.path for request in receiver.received)

    assert meanwhile["/one"] == 1
    assert (
        meanwhile["/flood"] <= 3 * AT_ONCE
    )  # those that hang, and should it take that long, those after their timeout


async def _flood(database: Database, merchant: Merchant) -> None:
    tenant = Tenant(parse_id(Prefix.ACCOUNT, merchant.account), Mode.TEST)
    for _ in range(FLOOD // BATCH):
        await more_due(database, tenant, BATCH)
