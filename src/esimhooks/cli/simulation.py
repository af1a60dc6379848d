"""A simulated provider on a running server: eSIMs are bought, live their lives at speed, and are counted at the end.

A client with an operator's key and a plan come in, a report goes out. What happens goes over real HTTP only; what the
server says at the end is compared with what the provider knows, and with what a receiver has got.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count, cycle
from typing import Any
from uuid import uuid4

from msgspec import Struct

from esimhooks.cli.client import Client
from esimhooks.cli.demo_receiver import DemoReceiver
from esimhooks.cli.demo_report import Report
from esimhooks.cli.messages import Denied, Failed
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending, life
from esimhooks.server.providers.sandbox.sandbox import Sandbox, SandboxConfig
from esimhooks.vocabulary.statuses import EsimStatus, Mode

WHOLE_LIFE_S = life(Ending.USED, days=2)[-1].after_s
"""Simulated seconds of the life of an eSIM that is valid for two days."""
PACKAGE = "SIMULATED_5GB"
QUANTITIES = (1, 2, 3)
ORDERING = 0.1
"""Part of a life in which the orders are placed."""
REQUERY_AT, REQUERY_TRIES = 0.45, 5
MAX_ORDERS_AT_ONCE = 8
POLL_S, READ_S = 0.25, 0.1
BEFORE_ALL = "evt_" + "0" * 26

_in_thread = asyncio.to_thread


class Plan(Struct, frozen=True, kw_only=True):
    """What is simulated. `speed` is simulated seconds a second, `timeout_s` is in real seconds, the two probabilities are 0 to 1.

    `endless` begins a life where one has ended; with `requeries` one eSIM of each order is requeried in mid-life.
    """

    esims: int
    speed: float
    duplicates: float = 0.0
    disorder: float = 0.0
    days: int = 2
    allocation_s: tuple[float, float] = (5.0, 30.0)
    ending: Ending | None = None
    requeries: bool = False
    endless: bool = False
    provider: str = "simulation"
    account: str | None = None
    account_name: str = "Simulation"
    webhook_url: str | None = None
    timeout_s: float = 60.0

    @property
    def life_s(self) -> float:
        """Real seconds of a whole life."""
        return life(Ending.USED, days=self.days)[-1].after_s / self.speed

    def quantities(self) -> Iterator[int]:
        """Yield the sizes of the orders: one, two and three eSIMs in turn."""
        left = self.esims
        for size in cycle(QUANTITIES):
            if left <= 0:
                return
            yield min(size, left)
            left -= size


class Esim(Struct, rename="camel"):
    """An eSIM as the server has it."""

    id: str
    esim_tran_no: str | None
    esim_status: str | None
    order_no: str | None


class Event(Struct):
    """An event, as far as it is counted."""

    id: str
    event: str


class Delivery(Struct, rename="camel"):
    """A delivery, as far as it is counted."""

    id: str
    status: str
    attempt_count: int


class Endpoint(Struct):
    """The endpoint of a new key."""

    secret: str


class Key(Struct):
    """A new key with its endpoint, where it has one."""

    key: str
    endpoint: Endpoint | None = None


class Simulation:
    """One run on one server. `receiver` is one of this process that events may be checked with."""

    def __init__(self, operator: Client, plan: Plan, receiver: DemoReceiver | None = None) -> None:
        self._operator = operator
        self._plan = plan
        self._word = uuid4().hex[:8]
        """Tells the orders of this run from those of others."""
        self._numbers = count(1)
        self._events: dict[str, str] = {}
        self._last = BEFORE_ALL
        self._pending = 0
        self._started_at = asyncio.get_running_loop().time()
        self._tenant = operator
        self.receiver = receiver
        self.account = plan.account or ""
        self.key: Key | None = None
        self.ended = 0
        self.sandbox = Sandbox(
            config=SandboxConfig(
                speed=plan.speed, duplicates=plan.duplicates, disorder=plan.disorder, allocation_s=plan.allocation_s
            )
        )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Start the provider and make it known to the server, with an account, for as long as the context lasts."""
        await self.sandbox.start()
        try:
            await self._refuse_known_provider()
            if not self.account:
                await self._make_account()
            self._tenant = self._operator.acting_for(self.account, Mode.TEST)
            name = self._plan.provider
            body = {
                "kind": "sandbox",
                "baseUrl": self.sandbox.base_url,
                "credentials": {"accessCode": SandboxConfig().access_code},
                "settings": {"requestsPerSecond": 1000},
            }
            stored = await _in_thread(self._operator.put, f"/v1/providers/{name}", body)
            self.sandbox.notify_url = stored.as_(dict[str, Any])["inboundUrl"]
            try:
                yield
            finally:
                # Nobody could ask this provider again once this program has ended.
                with suppress(Failed):
                    await _in_thread(self._operator.delete, f"/v1/providers/{name}")
        finally:
            await self.sandbox.stop()

    async def live(self) -> None:
        """Live all lives to their ends; for an endless plan, until cancelled."""
        at_once = asyncio.Semaphore(MAX_ORDERS_AT_ONCE)
        sizes = list(self._plan.quantities())
        pause_s = self._plan.life_s * ORDERING / len(sizes)
        async with asyncio.TaskGroup() as group:
            for number, quantity in enumerate(sizes):
                group.create_task(self._customer(number * pause_s, quantity, at_once), name=f"customer-{number}")

    async def follow(self, *, every_s: float = 0.5) -> None:
        """Keep the counts up to date until cancelled; a server too busy to answer is queried again."""
        while True:
            with suppress(Failed):
                await self._count_events()
                self._pending = len(await _in_thread(self._tenant.page, "/v1/deliveries", Delivery, status="pending"))
            await asyncio.sleep(every_s)

    async def close(self) -> Report:
        """Return the report once all is as it must be, or as it stands when the plan's patience ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.timeout_s):
                await self.sandbox.all_drained()
                while True:
                    report = await self._final()
                    if not report.faults():
                        return report
                    await asyncio.sleep(POLL_S)
        return await self._final()

    def snapshot(self) -> Report:
        """Return the counts as they are now."""
        arrived = self.receiver.types if self.receiver else {}
        events = Counter((self._events | arrived).values())
        attempts = self.receiver.requests if self.receiver else 0
        return self._report(
            esims=Counter(self.sandbox.statuses().values()),
            events=events,
            deliveries=Counter(pending=self._pending),
            attempts=attempts,
        )

    async def _refuse_known_provider(self) -> None:
        name = self._plan.provider
        if any(one["name"] == name for one in await _in_thread(self._operator.every, "/v1/providers", dict[str, Any])):
            raise Failed(f"there is a provider {name} already: name another with --provider, or delete that one")

    async def _make_account(self) -> None:
        name = f"{self._plan.account_name} {self._word}"
        made = await _in_thread(self._operator.post, "/v1/accounts", {"name": name})
        self.account = made.as_(dict[str, Any])["id"]
        url = self.receiver.url if self.receiver else self._plan.webhook_url
        body = {"mode": "test", "name": "simulation"}
        keys = f"/v1/accounts/{self.account}/keys"
        try:
            key = await _in_thread(self._operator.post, keys, body | ({"webhookUrl": url} if url else {}))
        except Denied as error:
            if self.receiver is None or error.status != 422:
                raise
            self.receiver = None  # a server that does not deliver to this machine
            key = await _in_thread(self._operator.post, keys, body)
        self.key = key.as_(Key)
        if self.receiver and self.key.endpoint:
            self.receiver.trust(self.key.endpoint.secret)

    async def _customer(self, delay_s: float, quantity: int, at_once: asyncio.Semaphore) -> None:
        await asyncio.sleep(delay_s)
        while True:
            number = next(self._numbers)
            purchase = Purchase(
                order_no=f"S{self._word}{number:05}",
                transaction_id=f"simulation-{self._word}-{number}",
                package_code=PACKAGE,
                quantity=quantity,
                days=self._plan.days,
                install_days=self._plan.days,
                ending=self._plan.ending,
            )
            async with at_once:
                esims = await self._order(purchase)
            async with asyncio.TaskGroup() as group:
                group.create_task(self.sandbox.run_life(purchase.order_no), name=f"life-{purchase.order_no}")
                if self._plan.requeries:
                    group.create_task(self._requery(esims[0]), name=f"requery-{purchase.order_no}")
            self.ended += quantity
            if not self._plan.endless:
                return

    async def _order(self, purchase: Purchase) -> list[str]:
        """Order with the server first, as its notification may come at any time; return the server's eSIM ids."""
        body = {
            "account": self.account,
            "mode": Mode.TEST,
            "provider": self._plan.provider,
            "transactionId": purchase.transaction_id,
            "orderNo": purchase.order_no,
            "packageCode": purchase.package_code,
            "quantity": purchase.quantity,
        }
        order = (await _in_thread(self._operator.post, "/v1/orders", body)).as_(dict[str, Any])
        await self.sandbox.order(purchase)
        # A buyer installs what was delivered: at speed, lives would be over before their order is read.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.timeout_s):
                while any(esim["esimStatus"] == EsimStatus.PENDING for esim in order["esims"]):
                    await asyncio.sleep(READ_S)
                    order = (await _in_thread(self._operator.get, f"/v1/orders/{order['id']}")).as_(dict[str, Any])
        return [esim["id"] for esim in order["esims"]]

    async def _requery(self, esim: str) -> None:
        """A server under load may not have the order yet: it says so, and is queried again."""
        await asyncio.sleep(self._plan.life_s * REQUERY_AT)
        for left in reversed(range(REQUERY_TRIES)):
            try:
                await _in_thread(self._tenant.post, f"/v1/esims/{esim}/requery")
            except Failed:
                if not left:
                    raise
                await asyncio.sleep(self._plan.life_s / 20)
            else:
                return

    async def _count_events(self) -> None:
        for event in await _in_thread(self._tenant.every, "/v1/events", Event, after=self._last):
            self._events[event.id] = event.event
            self._last = event.id

    async def _final(self) -> Report:
        waiting = await _in_thread(self._operator.page, "/v1/notifications", dict[str, Any], outcome="waiting")
        rows = await _in_thread(self._tenant.every, "/v1/esims", Esim)
        esims = [one for one in rows if (one.order_no or "").startswith(f"S{self._word}")]
        at_server = {one.esim_tran_no: one.esim_status for one in esims}
        await self._count_events()
        deliveries = await _in_thread(self._tenant.every, "/v1/deliveries", Delivery)
        return self._report(
            esims=Counter(one.esim_status or "none" for one in esims),
            events=Counter(self._events.values()),
            deliveries=Counter(one.status for one in deliveries),
            attempts=sum(one.attempt_count for one in deliveries),
            astray=[name for name, status in self.sandbox.statuses().items() if at_server.get(name) != status],
            lost=len(self._events.keys() - self.receiver.bodies.keys()) if self.receiver else 0,
            waiting=len(waiting),
        )

    def _report(self, **counts: Any) -> Report:
        sent = self.sandbox.sent
        accepted = [one for one in sent if 200 <= one.status < 300]
        different = len({one.notify_id for one in accepted})
        receiver = self.receiver
        return Report(
            account=self.account,
            notifications=different,
            repeated=len(accepted) - different,
            refused=len(sent) - len(accepted),
            took_s=round(asyncio.get_running_loop().time() - self._started_at, 1),
            arrived=Counter(receiver.types.values()) if receiver else None,
            duplicates=receiver.duplicates if receiver else 0,
            altered=receiver.altered if receiver else 0,
            unverified=receiver.unverified if receiver else 0,
            **counts,
        )
