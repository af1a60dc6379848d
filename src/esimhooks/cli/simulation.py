"""A simulated provider on a running server: eSIMs are bought, live their lives at speed, and are counted at the end.

A client with an operator's key and a plan come in, a report goes out. What happens goes over real HTTP only; what the
server says at the end is compared with what the provider knows.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from typing import TypeVar
from uuid import uuid4

from msgspec import Struct

from esimhooks.cli.client import Client
from esimhooks.cli.messages import Failed
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.sandbox import Sandbox, SandboxConfig
from esimhooks.vocabulary.statuses import EsimStatus

PACKAGE = "SIMULATED_5GB"
QUANTITIES = (1, 2, 3, 5, 10)
AT_ONCE = 8
"""Orders under way at a time."""
LOOK_S, READ_S = 0.25, 0.1

Row = TypeVar("Row", bound=Struct)

_sent = asyncio.to_thread


class Plan(Struct, frozen=True, kw_only=True):
    """What is simulated. `speed` is simulated seconds a second, the two chances are 0 to 1, `patience_s` is real."""

    esims: int
    speed: float
    duplicates: float
    disorder: float
    days: int
    provider: str
    account: str | None
    webhook_url: str | None
    patience_s: float


class Report(Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of it. `astray` are eSIMs of which the server says something else than the provider."""

    account: str
    esims: dict[str, int]
    astray: list[str]
    notifications: int
    repeated: int
    refused: int
    """Attempts at a notification that were not answered with 2xx; each was sent again."""
    events: dict[str, int]
    deliveries: dict[str, int]
    took_s: float

    @property
    def complete(self) -> bool:
        """Whether every eSIM has ended at the server as at the provider."""
        return not self.astray


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


class Delivery(Struct):
    """A delivery, as far as it is counted."""

    id: str
    status: str


class _Named(Struct):
    id: str


class _Ordered(Struct, rename="camel"):
    esim_status: str | None


class _Order(Struct):
    id: str
    esims: list[_Ordered]


class _Provider(Struct, rename="camel"):
    name: str
    kind: str
    inbound_url: str


class Simulation:
    """One run. `ended` and `sandbox` may be looked at meanwhile."""

    def __init__(self, operator: Client, plan: Plan) -> None:
        self._operator = operator
        self._plan = plan
        self._word = uuid4().hex[:8]
        """Tells the orders of this run from those of others."""
        self._account = ""
        self.sandbox = Sandbox(
            config=SandboxConfig(speed=plan.speed, duplicates=plan.duplicates, disorder=plan.disorder)
        )
        self.ended = 0

    async def run(self, tick: Callable[[int], None]) -> Report:
        """Live all lives and count. `tick` is told how many eSIMs have ended. Raises `Failed`."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        await self.sandbox.start()
        try:
            async with self._connected():
                await self._live(tick)
                esims = await self._converged()
                return await self._report(esims, loop.time() - started_at)
        finally:
            await self.sandbox.stop()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        stored = await _sent(self._operator.page, "/v1/providers", _Provider)
        name = self._plan.provider
        if any(one.name == name for one in stored):
            raise Failed(f"there is a provider {name} already: name another with --provider, or delete that one")
        self._account = self._plan.account or await self._new_account()
        body = {
            "kind": "sandbox",
            "baseUrl": self.sandbox.base_url,
            "credentials": {"accessCode": SandboxConfig().access_code},
            "settings": {"requestsPerSecond": 1000},
        }
        connected = (await _sent(self._operator.put, f"/v1/providers/{name}", body)).as_(_Provider)
        self.sandbox.notify_url = connected.inbound_url
        try:
            yield
        finally:
            # Nobody could ask this provider again once this program has ended.
            with suppress(Failed):
                await _sent(self._operator.delete, f"/v1/providers/{name}")

    async def _new_account(self) -> str:
        made = (await _sent(self._operator.post, "/v1/accounts", {"name": f"Simulation {self._word}"})).as_(_Named)
        if self._plan.webhook_url is not None:
            key = {"mode": "test", "name": "simulation", "webhookUrl": self._plan.webhook_url}
            await _sent(self._operator.post, f"/v1/accounts/{made.id}/keys", key)
        return made.id

    async def _live(self, tick: Callable[[int], None]) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def lived(number: int, quantity: int) -> None:
            purchase = Purchase(
                order_no=f"S{self._word}{number:05}",
                transaction_id=f"simulation-{self._word}-{number}",
                package_code=PACKAGE,
                quantity=quantity,
                days=self._plan.days,
                install_days=self._plan.days,
            )
            async with places:
                await self._order(purchase)
            await self.sandbox.run_life(purchase.order_no)
            self.ended += quantity
            tick(self.ended)

        async with asyncio.TaskGroup() as group:
            for number, quantity in enumerate(_quantities(self._plan.esims)):
                group.create_task(lived(number, quantity), name=f"order-{number}")

    async def _order(self, purchase: Purchase) -> None:
        """Order with the server first, as its notification may come at any moment."""
        body = {
            "account": self._account,
            "mode": "test",
            "provider": self._plan.provider,
            "transactionId": purchase.transaction_id,
            "orderNo": purchase.order_no,
            "packageCode": purchase.package_code,
            "quantity": purchase.quantity,
        }
        order = (await _sent(self._operator.post, "/v1/orders", body)).as_(_Order)
        await self.sandbox.order(purchase)
        # A buyer installs what was delivered: at speed, lives would be over before their order is read.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.patience_s):
                while any(esim.esim_status == EsimStatus.PENDING for esim in order.esims):
                    await asyncio.sleep(READ_S)
                    order = (await _sent(self._operator.get, f"/v1/orders/{order.id}")).as_(_Order)

    async def _converged(self) -> list[Esim]:
        """Return the server's eSIMs once they are as the provider's, or as they are when patience ends."""
        esims: list[Esim] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.patience_s):
                await self.sandbox.settled()
                while True:
                    esims = await self._esims()
                    if not self._astray(esims):
                        return esims
                    await asyncio.sleep(LOOK_S)
        return esims or await self._esims()

    async def _esims(self) -> list[Esim]:
        rows = await _sent(self._all, "/v1/esims", Esim)
        return [one for one in rows if (one.order_no or "").startswith(f"S{self._word}")]

    def _astray(self, esims: list[Esim]) -> list[str]:
        told = {one.esim_tran_no: one.esim_status for one in esims}
        return [name for name, status in self.sandbox.statuses().items() if told.get(name) != status]

    async def _report(self, esims: list[Esim], took_s: float) -> Report:
        sent = self.sandbox.sent
        accepted = [one for one in sent if 200 <= one.status < 300]
        events = await _sent(self._all, "/v1/events", Event)
        deliveries = await _sent(self._all, "/v1/deliveries", Delivery)
        return Report(
            account=self._account,
            esims=dict(Counter(one.esim_status or "none" for one in esims)),
            astray=self._astray(esims),
            notifications=len({one.notify_id for one in accepted}),
            repeated=len(accepted) - len({one.notify_id for one in accepted}),
            refused=len(sent) - len(accepted),
            events=dict(Counter(one.event for one in events)),
            deliveries=dict(Counter(one.status for one in deliveries)),
            took_s=round(took_s, 1),
        )

    def _all(self, path: str, row: type[Row]) -> list[Row]:
        return self._operator.every(path, row, account=self._account, mode="test")


def _quantities(esims: int) -> list[int]:
    sizes: list[int] = []
    for size in cycle(QUANTITIES):
        left = esims - sum(sizes)
        if left <= 0:
            return sizes
        sizes.append(min(size, left))
    return sizes
