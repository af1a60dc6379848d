"""The story of the demo: a merchant, a provider, and eSIMs that live their whole lives in seconds.

A running node and a plan come in; what happens goes over real HTTP only: orders and requeries through the API,
notifications from the sandbox, webhooks to the receiver. Nothing is counted here.
"""

import asyncio
from collections.abc import Sequence
from itertools import count, cycle

from msgspec import Struct

from esimhooks.cli.client import Client
from esimhooks.cli.demo_receiver import DemoReceiver
from esimhooks.cli.messages import Failed
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending, life
from esimhooks.server.providers.sandbox.sandbox import Sandbox, SandboxConfig

DAYS = 2
PACKAGE = "DEMO_5GB_2D"
WHOLE_LIFE_S = life(Ending.USED, days=DAYS)[-1].after_s
ORDERING, ALLOCATION, LIVING = 0.10, (0.01, 0.04), 0.72
"""Parts of the time: until the last order is placed, until an order is allocated, from its first event to the last."""
REQUERY_AT = 0.45
"""Part of a life after which some eSIMs are asked for again."""
REPEATED = 0.10
PATIENCE_S = 10.0
CREATION_S = 30.0
REQUERY_TRIES = 5


class Plan(Struct, frozen=True, kw_only=True):
    """How many eSIMs, in how many seconds; `endless` begins a new life where one has ended."""

    esims: int
    window_s: float
    endless: bool = False

    @property
    def life_s(self) -> float:
        """Seconds from an eSIM's allocation to its end."""
        return self.window_s * LIVING

    def quantities(self) -> list[int]:
        """Return the sizes of the orders: one, two and three eSIMs in turn."""
        sizes: list[int] = []
        for size in cycle((1, 2, 3)):
            left = self.esims - sum(sizes)
            if left <= 0:
                break
            sizes.append(min(size, left))
        return sizes

    def sandbox(self) -> SandboxConfig:
        """Return how fast the provider lives."""
        speed = WHOLE_LIFE_S / self.life_s
        first, last = (part * self.window_s * speed for part in ALLOCATION)
        return SandboxConfig(speed=speed, duplicates=REPEATED, allocation_s=(first, last))


class MadeKey(Struct):
    """A new key with its endpoint."""

    class Endpoint(Struct):
        """The endpoint of a key."""

        secret: str

    key: str
    endpoint: Endpoint


class Named(Struct):
    """Anything that has an id."""

    id: str


class MadeOrder(Struct):
    """A new order with its eSIMs."""

    esims: list[Named]


class Connected(Struct, rename="camel"):
    """A stored provider."""

    inbound_url: str


class Story:
    """One merchant and one provider on a running node."""

    def __init__(self, operator: Client, sandbox: Sandbox, receiver: DemoReceiver, plan: Plan) -> None:
        self._operator = operator
        self._receiver = receiver
        self._sandbox = sandbox
        self._plan = plan
        self._account = ""
        self._merchant: Client | None = None
        self._numbers = count(1)

    async def open(self) -> Client:
        """Make the merchant, connect the provider, and return the client that acts as the merchant."""
        made = await _sent(self._operator.post, "/v1/accounts", {"name": "Demo merchant"})
        self._account = made.as_(Named).id
        body = {"mode": "test", "name": "demo", "webhookUrl": self._receiver.url}
        key = (await _sent(self._operator.post, f"/v1/accounts/{self._account}/keys", body)).as_(MadeKey)
        self._receiver.trust(key.endpoint.secret)
        provider = {
            "kind": "sandbox",
            "baseUrl": self._sandbox.base_url,
            "credentials": {"accessCode": SandboxConfig().access_code},
            "settings": {"requestsPerSecond": 1000},
        }
        stored = await _sent(self._operator.put, "/v1/providers/sandbox", provider)
        self._sandbox.notify_url = stored.as_(Connected).inbound_url
        self._merchant = Client(self._operator.url, key.key, timeout_s=PATIENCE_S)
        return self._merchant

    async def tell(self) -> None:
        """Live all lives to their ends; for an endless plan, until cancelled."""
        quantities = self._plan.quantities()
        pause_s = self._plan.window_s * ORDERING / len(quantities)
        async with asyncio.TaskGroup() as group:
            for place, quantity in enumerate(quantities):
                group.create_task(self._customer(place * pause_s, quantity), name=f"customer-{place}")

    async def settle(self) -> None:
        """Wait until the server has taken every notification, but not for ever."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._sandbox.settled()
        except TimeoutError:
            raise Failed(f"the server did not take all notifications within {PATIENCE_S:g} s") from None

    async def _customer(self, delay_s: float, quantity: int) -> None:
        await asyncio.sleep(delay_s)
        while True:
            number = next(self._numbers)
            purchase = Purchase(
                order_no=f"B{number:05}",
                transaction_id=f"demo-{number}",
                package_code=PACKAGE,
                quantity=quantity,
                days=DAYS,
                ending=Ending.USED,
            )
            esims = await self._order(purchase)
            await self._created(esims)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sandbox.run_life(purchase.order_no), name=f"life-{purchase.order_no}")
                group.create_task(self._ask_again(esims[:1]), name=f"requery-{purchase.order_no}")
            if not self._plan.endless:
                return

    async def _order(self, purchase: Purchase) -> list[str]:
        """Order with the server first, as its notification may come at any moment; return the server's eSIM ids."""
        body = {
            "account": self._account,
            "mode": "test",
            "provider": "sandbox",
            "transactionId": purchase.transaction_id,
            "orderNo": purchase.order_no,
            "packageCode": purchase.package_code,
            "quantity": purchase.quantity,
        }
        made = await _sent(self._operator.post, "/v1/orders", body)
        await self._sandbox.order(purchase)
        return [esim.id for esim in made.as_(MadeOrder).esims]

    async def _created(self, esims: Sequence[str]) -> None:
        """In so short a life an eSIM would be in use before its order is read; a buyer takes longer to install it."""
        try:
            async with asyncio.timeout(CREATION_S):
                await self._receiver.wait_for_esims(esims)
        except TimeoutError:
            raise Failed(f"nothing was heard of {', '.join(esims)} within {CREATION_S:g} s of the order") from None

    async def _ask_again(self, esims: Sequence[str]) -> None:
        await asyncio.sleep(self._plan.life_s * REQUERY_AT)
        for esim in esims:
            await self._requery(esim)

    async def _requery(self, esim: str) -> None:
        """A server under load may not have the order yet: it says so, and is asked again."""
        if self._merchant is None:
            return
        for left in reversed(range(REQUERY_TRIES)):
            try:
                await _sent(self._merchant.post, f"/v1/esims/{esim}/requery")
            except Failed:
                if not left:
                    raise
                await asyncio.sleep(self._plan.life_s / 20)
            else:
                return


_sent = asyncio.to_thread
