"""The database fails while deliveries are under way: they are late, but neither lost nor left behind."""

from collections import Counter
from datetime import UTC, datetime

import asyncpg
import pytest
from structlog.testing import capture_logs

from api import Api, a_merchant, eventually
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, new_id, parse_id, text_of
from esimhooks.server.ingest.fan_out import publish
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode
from receiver import Receiver
from system.sent_webhooks import an_event, delivery_of, in_status

pytestmark = [
    pytest.mark.slow(reason="waits for the pauses after a fault of the database"),
    pytest.mark.timeout(60),
]


EVENTS = 100


async def test_what_could_not_be_read_is_sent_once_the_database_gives_it(
    operator: Api, receiver: Receiver, database: Database
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    event = Event(
        id=new_id(),
        tenant=Tenant(parse_id(Prefix.ACCOUNT, merchant.account), Mode.TEST),
        esim_id=None,
        type=EventType.CREATED,
        happened_at=datetime.now(UTC),
        notification_id=None,
        body=b'{"left":"behind"}',
    )
    left_behind = text_of(Prefix.EVENT, event.id)
    async with operator.as_key(merchant.key) as api:
        await in_status(api, await an_event(api), "delivered")  # the lane is leased from now on
        with capture_logs() as lines:
            async with database.transaction() as db:
                await publish(db, [event])
                await db.conn.execute("ALTER TABLE events RENAME TO events_out_of_reach")

            async def failed() -> bool:
                return any((one["event"], one.get("loop")) == ("loop.waits", "dispatcher") for one in lines)

            try:
                await eventually(failed)
            finally:
                async with database.session() as db:
                    await db.conn.execute("ALTER TABLE events_out_of_reach RENAME TO events")

        async def delivered() -> bool:
            return bool((await delivery_of(api, left_behind))["status"] == "delivered")

        await eventually(delivered)
        assert [one.headers["webhook-id"] for one in receiver.received].count(left_behind) == 1


async def test_results_whose_writing_is_cut_off_are_written_again_and_not_sent_again(
    operator: Api, receiver: Receiver, migrated: str
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    updates = [{"transactionId": f"shop-{number}", "esimStatus": "CREATED"} for number in range(EVENTS)]
    body = {"account": merchant.account, "mode": "test", "updates": updates}
    admin = await asyncpg.connect(migrated)

    async def cut_off() -> bool:
        """Cut the connections that wait to write."""
        return bool(
            await admin.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND relation = 'attempts'::regclass"
            )
        )

    async def all_delivered() -> bool:
        return int(await admin.fetchval("SELECT count(*) FROM deliveries WHERE status = 'delivered'")) == EVENTS

    async with admin.transaction():
        await admin.execute("LOCK TABLE attempts IN SHARE MODE")  # nothing is written while it is locked
        await operator.post("/v1/updates", body, status=200)
        for _ in range(3):
            await eventually(cut_off)
    await eventually(all_delivered)
    attempts = await admin.fetchval("SELECT count(*) FROM attempts")
    await admin.close()

    copies = Counter(request.headers["webhook-id"] for request in receiver.received)
    assert attempts == EVENTS
    assert len(copies) == EVENTS
    assert set(copies.values()) == {1}
