"""Receivers' answers that wait: for a gate that the test opens, or for a while. They count what is open at a time."""

import asyncio

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


def answered_after(seconds: float, then: Behaviour | None = None) -> Behaviour:
    """Answer properly, but slowly."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        ready = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, ready.set)
        await ready.wait()
        return await (then or status())(writer)

    return behave
