"""The sandbox provider: an eSIM Access in memory that allocates, ages and reports eSIMs over real HTTP.

Orders come in from the program around it; notifications and answers go out in eSIM Access's format. It knows nothing
of the server that it talks to.
"""

import asyncio
from datetime import datetime
from random import Random

from aiohttp import web
from msgspec import Struct

from esimhooks.server.domain.clock import system_clock
from esimhooks.server.providers.sandbox import numbers, wire
from esimhooks.server.providers.sandbox.esims import Purchase, SimulatedEsim, SimulatedOrder, place
from esimhooks.server.providers.sandbox.life import ALLOCATED, Step
from esimhooks.server.providers.sandbox.listener import Access, Clock, Inventory, Service
from esimhooks.server.providers.sandbox.outbox import Faults, Outbox, QueuedNotification, SandboxTasks, Sent

_SHUTDOWN_S = 1.0


class SandboxConfig(Struct, frozen=True, kw_only=True):
    """How the sandbox behaves. `allocation_s` is simulated seconds, from and to; (0, 0) allocates at once."""

    speed: float = 1.0
    """Simulated seconds per second; 3600 lives one hour a second."""
    duplicates: float = 0.0
    """Probability that a notification is sent twice."""
    disorder: float = 0.0
    """Probability that a notification is swapped with the next one of its eSIM."""
    allocation_s: tuple[float, float] = (5.0, 30.0)
    access_code: str = "sandbox"
    secret_key: str | None = None
    """With it every query must be signed."""
    requests_per_second: int | None = None
    """Queries answered per second; None sets no limit."""


class Sandbox:
    """A provider that exists in this process only. Start it, set `notify_url`, order."""

    def __init__(
        self,
        notify_url: str = "",
        *,
        config: SandboxConfig | None = None,
        rng: Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._config = config or SandboxConfig()
        self._rng = rng or Random()  # noqa: S311  # a simulation
        self._clock = clock or system_clock
        self._inventory = Inventory()
        self._tasks = SandboxTasks()
        faults = Faults(self._config.duplicates, self._config.disorder)
        self._outbox = Outbox(self._tasks, faults, Random(self._rng.getrandbits(64)))  # noqa: S311  # a simulation
        self._outbox.url = notify_url
        self._runner: web.AppRunner | None = None
        self._base_url = ""

    @property
    def base_url(self) -> str:
        """The `baseUrl` for a provider of kind `sandbox`; empty before `start`."""
        return self._base_url

    @property
    def notify_url(self) -> str:
        """Where notifications go; while it is empty they wait."""
        return self._outbox.url

    @notify_url.setter
    def notify_url(self, url: str) -> None:
        self._outbox.url = url

    @property
    def sent(self) -> list[Sent]:
        """Every attempt to send a notification, in order."""
        return self._outbox.sent

    def statuses(self) -> dict[str, str]:
        """Return the status of every eSIM by its `esimTranNo`."""
        return {name: esim.esim_status for name, esim in self._inventory.esims.items()}

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one."""
        access = Access(
            access_code=self._config.access_code,
            secret_key=self._config.secret_key,
            requests_per_second=self._config.requests_per_second,
        )
        await self._tasks.start()
        await self._outbox.open()
        service = Service(self._inventory, access, self._clock)
        self._runner = web.AppRunner(service.application(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self._base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End everything; what was not sent is lost. Raises what went wrong in a task of the sandbox."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        try:
            await self._tasks.stop()
        finally:
            await self._outbox.close()

    async def order(self, purchase: Purchase) -> tuple[str, ...]:
        """Order eSIMs and return their `esimTranNo`; ORDER_STATUS follows when they are allocated.

        Raises ValueError where the order number was used before.
        """
        if purchase.order_no in self._inventory.orders:
            raise ValueError(f"the order {purchase.order_no} exists")
        order = place(purchase, self._rng, self._clock())
        self._inventory.orders[purchase.order_no] = order
        self._inventory.esims.update((esim.esim_tran_no, esim) for esim in order.esims)
        delay_s = self._rng.uniform(*self._config.allocation_s) / self._config.speed
        if delay_s > 0:
            self._tasks.spawn(self._allocate_later(order, delay_s), name=f"sandbox-allocation-{purchase.order_no}")
        else:
            self._allocate(order)
        return tuple(esim.esim_tran_no for esim in order.esims)

    async def step(self, esim_tran_no: str) -> Step | None:
        """Take the next step of a life and wait until its notification is taken; None where life is over.

        A notification that is held back for disorder is not waited for. Raises KeyError for an unknown eSIM.
        """
        esim = self._inventory.esims[esim_tran_no]
        await self._inventory.orders[esim.purchase.order_no].allocated.wait()
        step = self._advance(esim)
        await self._outbox.drained(esim_tran_no)
        return step

    async def run_life(self, order_no: str) -> None:
        """Live the lives of an order's eSIMs to their ends at the configured speed, and wait for the last answer.

        Raises KeyError for an unknown order.
        """
        order = self._inventory.orders[order_no]
        await order.allocated.wait()
        async with asyncio.TaskGroup() as group:
            for esim in order.esims:
                group.create_task(self._live(esim), name=f"sandbox-life-{esim.esim_tran_no}")

    async def all_drained(self) -> None:
        """Send what is held back, and wait until every notification so far is answered with 2xx."""
        await self._outbox.all_drained()

    async def _live(self, esim: SimulatedEsim) -> None:
        loop = asyncio.get_running_loop()
        born_at = loop.time() - esim.age_s / self._config.speed
        while (step := esim.next_step) is not None:
            await asyncio.sleep(max(0.0, born_at + step.after_s / self._config.speed - loop.time()))
            self._advance(esim)
        await self._outbox.drained(esim.esim_tran_no)

    async def _allocate_later(self, order: SimulatedOrder, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self._allocate(order)

    def _allocate(self, order: SimulatedOrder) -> None:
        now = self._clock()
        for esim in order.esims:
            esim.apply(ALLOCATED, now)
        order.allocated.set()
        content = wire.order_ready(order.purchase)
        self._post(ALLOCATED.notify_type, order.purchase.order_no, content, rng=order.rng, now=now)

    def _advance(self, esim: SimulatedEsim) -> Step | None:
        step = esim.next_step
        if step is None:
            return None
        now = esim.apply(step, self._clock())
        self._post(
            step.notify_type, esim.esim_tran_no, wire.content_of(step, esim, now), rng=esim.rng, now=now, esim=esim
        )
        return step

    def _post(
        self,
        notify_type: str,
        lane: str,
        content: wire.Json,
        *,
        rng: Random,
        now: datetime,
        esim: SimulatedEsim | None = None,
    ) -> None:
        notify_id = numbers.notify_id(rng)
        notification = QueuedNotification(
            lane=lane,
            notify_type=notify_type,
            esim_tran_no=esim.esim_tran_no if esim else None,
            notify_id=notify_id,
            body=wire.notification(notify_type, content, notify_id=notify_id, now=now),
        )
        self._outbox.put(notification, last=esim is None or esim.next_step is None)
