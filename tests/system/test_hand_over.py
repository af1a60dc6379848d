"""What comes in for an endpoint that is served already goes to it directly, and is stored and recorded as ever."""

from collections import Counter

import pytest

from api import Api, a_merchant, eventually
from esimhooks.server.store.database import Database
from receiver import Receiver
from system.sent_webhooks import an_endpoint
from system.stored_lanes import all_delivered

pytestmark = pytest.mark.timeout(60)

UPDATES = 30


async def test_updates_one_after_the_other_arrive_once_each_with_one_attempt_and_leave_nothing_due(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as api:
        await an_endpoint(api, receiver.url("/plain"))
        await an_endpoint(api, receiver.url("/ordered"), ordering="esim")
        await an_endpoint(api, receiver.url("/later"), retrySchedule=[1])

    events = [event for number in range(UPDATES) for event in await _update(operator, merchant.account, number)]
    await receiver.wait_for(3 * len(events), timeout=40)
    await eventually(lambda: all_delivered(database))

    arrived = Counter((request.path, request.headers["webhook-id"]) for request in receiver.received)
    assert arrived == Counter((path, event) for path in ("/plain", "/ordered", "/later") for event in events)
    ordered = [request.headers["webhook-id"] for request in receiver.received if request.path == "/ordered"]
    assert ordered == events
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM attempts WHERE number = 1") == 3 * len(events)
        assert await db.conn.fetchval("SELECT count(*) FROM queue") == 0


async def _update(operator: Api, account: str, number: int) -> list[str]:
    """Report usage; return the events that followed."""
    update = {
        "esimTranNo": account,
        "transactionId": account,
        "esimStatus": "IN_USE",
        "totalVolume": 10**9,
        "dataUsage": number + 1,
    }
    body = {"account": account, "mode": "test", "updates": [update]}
    answer = await operator.post("/v1/updates", body, status=200)
    return [event for result in answer["results"] for event in result["events"]]
