"""What cannot be sent through a fault of ours is visible, waits longer each time, and holds up nobody else."""

from datetime import UTC, datetime

import pytest

from api import Api, Json, a_merchant, eventually
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, new_id, parse_id
from esimhooks.server.ingest.fan_out import publish
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode
from receiver import Receiver
from system.sent_webhooks import ended_at, epoch_seconds

pytestmark = [pytest.mark.slow(reason="waits for retries of a running node"), pytest.mark.timeout(60)]

LATE_S = 20.0
"""How late a busy machine may be with writing what came of an attempt."""

DUE = "UPDATE queue SET due_at = now() WHERE due_at > now()"


async def attempts(api: Api, number: int) -> Json:
    """Return the only delivery of the caller once it has so many attempts."""

    async def found() -> Json:
        [delivery] = (await api.get("/v1/deliveries"))["data"]
        shown = await api.get(f"/v1/deliveries/{delivery['id']}")
        return shown if len(shown["attempts"]) >= number else None

    return await eventually(found)


async def test_an_endpoint_whose_secret_cannot_be_opened_delays_nobody_and_waits_longer_each_time(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    shut = await a_merchant(operator, webhook_url=receiver.url("/shut"))
    fine = await a_merchant(operator, webhook_url=receiver.url("/fine"))
    which = parse_id(Prefix.ENDPOINT, shut.endpoint or "")
    async with database.session() as db:
        kept = await db.conn.fetchval("SELECT sealed_secret FROM endpoint_secrets WHERE endpoint_id = $1", which)
        await db.conn.execute("UPDATE endpoint_secrets SET sealed_secret = $2 WHERE endpoint_id = $1", which, kept[:-1])
    async with operator.as_key(shut.key) as one, operator.as_key(fine.key) as other:
        await one.post("/v1/test-events", {"event": "esim.activated"})
        await other.post("/v1/test-events", {"event": "esim.activated"})
        await receiver.wait_for(1)
        await attempts(one, 1)
        async with database.session() as db:
            await db.conn.execute(DUE)
        twice = await attempts(one, 2)
        async with database.session() as db:
            await db.conn.execute("UPDATE endpoint_secrets SET sealed_secret = $2 WHERE endpoint_id = $1", which, kept)
            await db.conn.execute(DUE)
        await receiver.wait_for(2)

    assert [request.path for request in receiver.received] == ["/fine", "/shut"]
    assert (twice["status"], twice["attemptCount"]) == ("pending", 0)
    assert {one["outcome"] for one in twice["attempts"]} == {"internal"}
    assert "cannot be opened" in twice["attempts"][0]["error"]
    waits_s = epoch_seconds(twice["nextAttemptAt"]) - ended_at(twice["attempts"][1])
    assert 5 < waits_s <= 20 + LATE_S


async def test_a_body_that_cannot_be_cut_down_is_shown_and_put_off(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as api:
        await api.post("/v1/endpoints", {"url": receiver.url(), "redactCredentials": True})
        event = Event(
            id=new_id(),
            tenant=Tenant(parse_id(Prefix.ACCOUNT, merchant.account), Mode.TEST),
            esim_id=None,
            type=EventType.CREATED,
            happened_at=datetime.now(UTC),
            notification_id=None,
            body=b"no JSON",
        )
        async with database.transaction() as db:
            await publish(db, [event])
        shown = await attempts(api, 1)

    assert (shown["status"], shown["attempts"][0]["outcome"]) == ("pending", "internal")
    assert "could not be made" in shown["attempts"][0]["error"]
    assert receiver.received == []
