"""Receivers' answers that wait: for a gate that the test opens, or for a while. They count what is open at a time."""

import asyncio
from collections import deque

from receiver import Behaviour, status


class Gate:
    """Holds back answers until it is opened; `open_requests` counts the requests that wait, `peak` the most ever."""

    def __init__(self, then: Behaviour | None = None) -> None:
        self.open_requests = 0
        self.peak = 0
        self._opened = asyncio.Event()
        self._then = then or status()

    def open(self) -> None:
        """Answer all that wait, and all that come."""
        self._opened.set()

    async def answer(self, writer: asyncio.StreamWriter) -> bool:
        """Behave as a receiver that is gated."""
        self.open_requests += 1
        self.peak = max(self.peak, self.open_requests)
        try:
            await self._opened.wait()
        finally:
            self.open_requests -= 1
        return await self._then(writer)


class Turnstile:
    """Holds back every answer until the test lets it through with a status; first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._peak = 0
        self._is_open = False

    @property
    def waiting(self) -> int:
        """How many requests wait now."""
        return len(self._waiting)

    def let_through(self, count: int, *, code: int) -> None:
        """Answer so many of those that wait."""
        for _ in range(count):
            self._waiting.popleft().set_result(code)

    def peak_since_last_read(self) -> int:
        """Return the most that waited at a time since this was last read."""
        peak, self._peak = self._peak, self.waiting
        return peak

    def open(self) -> None:
        """Answer all that wait, and all that come, with 200."""
        self._is_open = True
        self.let_through(self.waiting, code=200)

    async def answer(self, writer: asyncio.StreamWriter) -> bool:
        """Behave as a receiver behind the turnstile."""
        if self._is_open:
            return await status()(writer)
        mine: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        self._peak = max(self._peak, self.waiting)
        return await status(await mine)(writer)


def answered_after(seconds: float, then: Behaviour | None = None) -> Behaviour:
    """Answer properly, but slowly."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        ready = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, ready.set)
        await ready.wait()
        return await (then or status())(writer)

    return behave
