"""The demo's bookkeeping: what the API says was raised, against what the receiver got.

The API is asked as any merchant and operator would ask it. A `Ledger` goes out, and from it what went wrong.
"""

import asyncio
from collections import Counter
from contextlib import suppress

from msgspec import Struct

from esimhooks.cli.client import Client
from esimhooks.cli.demo_receiver import DemoReceiver
from esimhooks.cli.messages import Failed
from esimhooks.vocabulary.events import EventType

BEFORE_ALL = "evt_" + "0" * 26
LOOK_AGAIN_S = 0.2


class RaisedEvent(Struct):
    """An event, as listed."""

    id: str
    event: str


class ListedDelivery(Struct, rename="camel"):
    """A delivery, as listed."""

    event: str
    status: str
    attempt_count: int


class ListedNotification(Struct):
    """A journal entry, as listed."""

    id: str


class Ledger(Struct, frozen=True, kw_only=True):
    """The end of the account."""

    raised: Counter[str]
    arrived: Counter[str]
    lost: int
    duplicates: int
    altered: int
    unverified: int
    deliveries: Counter[str]
    attempts: int
    waiting: int
    """Notifications that were not worked off."""

    def faults(self) -> list[str]:
        """Return what went wrong, one sentence each; nothing where every promise was kept."""
        missing = [event.value for event in EventType if not self.raised[event]]
        counted = {
            "events did not arrive": self.lost,
            "requests repeated an event that had arrived": self.duplicates,
            "repeats had another body": self.altered,
            "requests did not verify": self.unverified,
            "notifications were not worked off": self.waiting,
            "deliveries did not end as delivered": self.deliveries.total() - self.deliveries["delivered"],
        }
        faults = [f"{number} {what}" for what, number in counted.items() if number]
        return faults + ([f"these never occurred: {', '.join(missing)}"] if missing else [])


class Bookkeeper:
    """Reads the API in the background for the table, and at the end for the ledger."""

    def __init__(self, merchant: Client, operator: Client, receiver: DemoReceiver) -> None:
        self.pending = 0
        """Deliveries under way, 100 at most."""
        self._merchant = merchant
        self._operator = operator
        self._receiver = receiver
        self._listed: dict[str, str] = {}

    @property
    def raised(self) -> Counter[str]:
        """How many events of each type are known of; one that arrived may not have been listed yet."""
        return Counter((self._listed | self._receiver.types).values())

    async def follow(self, *, every_s: float = 0.5) -> None:
        """Keep the list of events and `pending` up to date until cancelled; a server too busy to answer is asked again."""
        while True:
            with suppress(Failed):
                await self._look()
            await asyncio.sleep(every_s)

    async def close(self, *, within_s: float) -> Ledger:
        """Return the ledger once all has arrived, or as it stands after `within_s` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while True:
            waiting = await self._waiting()
            events = await self._events(BEFORE_ALL)
            deliveries = await self._deliveries()
            lost = [event for event in events if event.id not in self._receiver.bodies]
            open_ = waiting or lost or any(delivery.status == "pending" for delivery in deliveries)
            if not open_ or loop.time() >= end:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
        return Ledger(
            raised=Counter(event.event for event in events),
            arrived=self._receiver.by_type,
            lost=len(lost),
            duplicates=self._receiver.duplicates,
            altered=self._receiver.altered,
            unverified=self._receiver.unverified,
            deliveries=Counter(delivery.status for delivery in deliveries),
            attempts=sum(delivery.attempt_count for delivery in deliveries),
            waiting=waiting,
        )

    async def _look(self) -> None:
        for event in await self._events(max(self._listed, default=BEFORE_ALL)):
            self._listed[event.id] = event.event
        pending = await asyncio.to_thread(self._merchant.page, "/v1/deliveries", ListedDelivery, status="pending")
        self.pending = len(pending)

    async def _events(self, after: str) -> list[RaisedEvent]:
        return await asyncio.to_thread(self._merchant.every, "/v1/events", RaisedEvent, after=after)

    async def _deliveries(self) -> list[ListedDelivery]:
        return await asyncio.to_thread(self._merchant.every, "/v1/deliveries", ListedDelivery)

    async def _waiting(self) -> int:
        find = self._operator.page
        return len(await asyncio.to_thread(find, "/v1/notifications", ListedNotification, outcome="waiting"))
