"""Sends the sandbox's notifications: in order per eSIM, repeatedly until they are answered with 2xx.

Notifications come in, HTTP requests go out. On request some are sent twice and some change places with the next one of the
same eSIM, as real providers do.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random

from aiohttp import ClientError, ClientSession, ClientTimeout
from msgspec import Struct


class SandboxTasks:
    """Owns every task of one sandbox."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make ready to take tasks."""
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(ready), name="sandbox")
        await ready.wait()

    def spawn(self, work: Coroutine[object, object, None], *, name: str) -> None:
        """Run a coroutine until it ends or `stop` cancels it."""
        self._group.create_task(work, name=name)

    async def stop(self) -> None:
        """Cancel what still runs and wait for its end. Raises what went wrong in a task."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, Exception):
            raise result

    async def _run(self, ready: asyncio.Event) -> None:
        async with self._group:
            ready.set()
            await asyncio.Event().wait()


_TIMEOUT = ClientTimeout(total=10)
_FIRST_WAIT_S = 0.05
_MAX_WAIT_S = 2.0


class QueuedNotification(Struct, frozen=True, kw_only=True):
    """One notification to be sent. Those with the same `lane` are sent one after another."""

    lane: str
    notify_type: str
    esim_tran_no: str | None
    notify_id: str
    body: bytes


class Sent(Struct, frozen=True, kw_only=True):
    """One attempt and the HTTP status of its answer, 0 where there was none."""

    notify_type: str
    esim_tran_no: str | None
    notify_id: str
    status: int


class Faults(Struct, frozen=True):
    """Probabilities, 0 to 1: that a notification is sent twice, and that it is swapped with the next one."""

    duplicates: float = 0.0
    disorder: float = 0.0


@dataclass
class _Lane:
    rng: Random
    waiting: deque[QueuedNotification] = field(default_factory=deque)
    delayed: list[QueuedNotification] = field(default_factory=list)
    """Waits for the next notification of the lane, to be sent after it."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Outbox:
    """Lanes of notifications, each sent by its own task while it has any."""

    def __init__(self, tasks: SandboxTasks, faults: Faults, rng: Random) -> None:
        self._tasks = tasks
        self._faults = faults
        self._rng = rng
        self._lanes: dict[str, _Lane] = {}
        self._session: ClientSession | None = None
        self._url = ""
        self._has_url = asyncio.Event()
        self.sent: list[Sent] = []

    @property
    def url(self) -> str:
        """Where notifications go; while it is empty they wait."""
        return self._url

    @url.setter
    def url(self, url: str) -> None:
        self._url = url
        if url:
            self._has_url.set()
        else:
            self._has_url.clear()

    async def open(self) -> None:
        """Make ready to send."""
        self._session = ClientSession(timeout=_TIMEOUT)

    async def close(self) -> None:
        """Close the connections; the tasks must have stopped."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def put(self, notification: QueuedNotification, *, last: bool) -> None:
        """Queue a notification. The last one of its lane is never held back."""
        lane = self._lanes.get(notification.lane) or self._open_lane(notification.lane)
        copies = [notification] * (2 if lane.rng.random() < self._faults.duplicates else 1)
        swap = lane.rng.random() < self._faults.disorder
        if swap and not last and not lane.delayed:
            lane.delayed = copies
            return
        self._queue(notification.lane, [*copies, *lane.delayed])
        lane.delayed = []

    async def drained(self, name: str) -> None:
        """Wait until what the lane has queued is answered with 2xx; what is held back is not waited for."""
        lane = self._lanes.get(name)
        if lane is not None:
            await lane.idle.wait()

    async def all_drained(self) -> None:
        """Send what is held back, and wait until everything is answered with 2xx."""
        for name, lane in self._lanes.items():
            if lane.delayed:
                delayed, lane.delayed = lane.delayed, []
                self._queue(name, delayed)
        for lane in list(self._lanes.values()):
            await lane.idle.wait()

    def _open_lane(self, name: str) -> _Lane:
        lane = self._lanes[name] = _Lane(Random(self._rng.getrandbits(64)))  # noqa: S311  # a simulation
        lane.idle.set()
        return lane

    def _queue(self, name: str, notifications: list[QueuedNotification]) -> None:
        lane = self._lanes[name]
        lane.waiting.extend(notifications)
        if lane.idle.is_set():
            lane.idle.clear()
            self._tasks.spawn(self._work(lane), name=f"sandbox-outbox-{name}")

    async def _work(self, lane: _Lane) -> None:
        while lane.waiting:
            await self._deliver(lane.waiting[0])
            lane.waiting.popleft()
        lane.idle.set()

    async def _deliver(self, notification: QueuedNotification) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            await self._has_url.wait()
            status = await self._post(notification)
            self.sent.append(
                Sent(
                    notify_type=notification.notify_type,
                    esim_tran_no=notification.esim_tran_no,
                    notify_id=notification.notify_id,
                    status=status,
                )
            )
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _MAX_WAIT_S)

    async def _post(self, notification: QueuedNotification) -> int:
        if self._session is None:
            return 0
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=notification.body, headers=headers, allow_redirects=False
            ) as response:
                return response.status
        except (ClientError, OSError, TimeoutError):
            return 0
