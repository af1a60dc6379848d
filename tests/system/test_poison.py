"""A delivery that ends the process whenever it is sent: it is found, put aside and shown, and the others arrive."""

import asyncio
from collections import Counter

import pytest

from api import Api, a_merchant, eventually
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store.database import Database
from receiver import Receiver, status
from system.dispatcher_processes import DispatcherProcess, Dispatchers
from system.sent_webhooks import an_endpoint, an_event, delivery_of, in_status

pytestmark = [
    pytest.mark.slow(reason="kills and starts a dispatcher five times, on a machine that may be busy"),
    pytest.mark.timeout(400),
]

CRASHES = 5
NEIGHBOURS = 10


class Poison:
    """Kills whoever sends the poisonous event, each process once it is named; afterwards it is an event like others."""

    def __init__(self, receiver: Receiver) -> None:
        self.event = ""
        self.crashes = 0
        self._receiver = receiver
        self._senders: asyncio.Queue[DispatcherProcess] = asyncio.Queue()

    def may_kill(self, sender: DispatcherProcess) -> None:
        """Name the process that is to die; one that has sent the event before it is named is kept waiting until then."""
        self._senders.put_nowait(sender)

    async def answer(self, writer: asyncio.StreamWriter) -> bool:
        """Behave as a receiver of it."""
        if self._receiver.received[-1].headers["webhook-id"] != self.event or self.crashes == CRASHES:
            return await status()(writer)
        sender = await self._senders.get()
        sender.node.kill()
        self.crashes += 1
        return False


async def test_a_delivery_that_ends_every_process_is_put_aside_after_five_times_and_the_others_arrive(
    intake: Api, dispatchers: Dispatchers, receiver: Receiver, database: Database
) -> None:
    poison = Poison(receiver)
    receiver.answer(script=[poison.answer])
    merchant = await a_merchant(intake)
    async with intake.as_key(merchant.key) as caller:
        await an_endpoint(caller, receiver.url(), maxInFlight=4, timeout=30)
        before = [await an_event(caller) for _ in range(NEIGHBOURS // 2)]
        poison.event = await an_event(caller)
        neighbours = [*before, *[await an_event(caller) for _ in range(NEIGHBOURS // 2)]]

        for number in range(1, CRASHES + 1):
            sender = await dispatchers.start()
            poison.may_kill(sender)
            await eventually(lambda: _has_crashed(poison, number), within_s=90)  # noqa: B023 - awaited at once
            await dispatchers.forget(sender)
        await dispatchers.start()
        put_aside = await in_status(caller, poison.event, "failed", within_s=90)
        arrived = [await in_status(caller, event, "delivered", within_s=90) for event in neighbours]

        copies = Counter(request.headers["webhook-id"] for request in receiver.received)
        assert copies[poison.event] == CRASHES
        assert put_aside["attemptCount"] == 0
        [attempt] = put_aside["attempts"]
        assert (attempt["outcome"], attempt["statusCode"]) == ("internal", None)
        assert "5 times" in attempt["error"]
        assert {one["attemptCount"] for one in arrived} == {1}

        await caller.post(f"/v1/deliveries/{put_aside['id']}/retry", status=202)  # the defect has been fixed
        again = await in_status(caller, poison.event, "delivered", within_s=90)
        assert again["attemptCount"] == 1
        assert await _is_queued(database, poison.event) is False
        assert (await delivery_of(caller, poison.event))["status"] == "delivered"


async def _has_crashed(poison: Poison, times: int) -> bool:
    return poison.crashes >= times


async def _is_queued(database: Database, event: str) -> bool:
    async with database.session() as db:
        return bool(
            await db.conn.fetchval(
                "SELECT EXISTS (SELECT FROM queue WHERE event_id = $1)", parse_id(Prefix.EVENT, event)
            )
        )
