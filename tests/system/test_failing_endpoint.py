"""An endpoint that has failed for five days is disabled; enabled again, all that it missed comes. Days pass in the database."""

from datetime import UTC, datetime, timedelta

import pytest

from api import Api, Json, eventually
from esimhooks.server.store.database import Database
from receiver import Receiver
from system.sent_webhooks import Endpoint, an_endpoint, an_event, attempted, in_status, make_due, verified

pytestmark = [
    pytest.mark.slow(reason="waits for several retries, on a machine that may be busy"),
    pytest.mark.timeout(200),
]

FIVE_DAYS = timedelta(days=5)


async def test_five_days_of_nothing_but_failures_disable_an_endpoint_and_a_recovery_brings_everything_back(
    merchant: Api, receiver: Receiver, database: Database
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=1)
    endpoint = await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 600])
    receiver.answer(status=500)
    exhausted, waiting = await an_event(merchant), await an_event(merchant)
    await attempted(merchant, exhausted, 1)
    await attempted(merchant, waiting, 1)

    await _passes(database, FIVE_DAYS)
    await make_due(database, exhausted)
    await in_status(merchant, exhausted, "failed")
    shown = await eventually(lambda: _disabled(merchant, endpoint), within_s=60)
    never = await an_event(merchant)
    while_off = len(receiver.received)
    receiver.answer(status=200)
    assert shown["disabledReason"] == "failing"
    assert (await merchant.get(f"/v1/deliveries?event={never}"))["data"] == []

    await merchant.post(f"/v1/endpoints/{endpoint.id}/enable", status=200)
    await make_due(database, waiting)
    await merchant.post(f"/v1/endpoints/{endpoint.id}/recover", {"from": began.isoformat()}, status=202)

    for event in (exhausted, waiting, never):
        await in_status(merchant, event, "delivered")
    came_back = [str(verified(request, endpoint.secret)["id"]) for request in receiver.received[while_off:]]
    assert sorted(came_back) == sorted([exhausted, waiting, never])
    assert (await merchant.get(f"/v1/endpoints/{endpoint.id}"))["disabledReason"] is None


async def test_one_success_within_the_five_days_keeps_an_endpoint_enabled(
    merchant: Api, receiver: Receiver, database: Database
) -> None:
    endpoint = await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 600])
    receiver.answer(status=500)
    failing = await an_event(merchant)
    await attempted(merchant, failing, 1)
    await _passes(database, FIVE_DAYS - timedelta(hours=1))
    receiver.answer(status=200)
    await in_status(merchant, await an_event(merchant), "delivered")
    await _passes(database, timedelta(hours=2))

    receiver.answer(status=500)
    await make_due(database, failing)
    await in_status(merchant, failing, "failed")

    assert (await merchant.get(f"/v1/endpoints/{endpoint.id}"))["enabled"] is True


async def _passes(database: Database, span: timedelta) -> None:
    """Let so much time pass for what is known of endpoints."""
    async with database.session() as db:
        await db.conn.execute("UPDATE lanes SET failing_since = failing_since - $1::interval", span)


async def _disabled(merchant: Api, endpoint: Endpoint) -> Json:
    shown = await merchant.get(f"/v1/endpoints/{endpoint.id}")
    return None if shown["enabled"] else shown
