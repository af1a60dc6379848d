"""A bell that wakes a loop before its time is up. Ringing is cheap and never lost while nobody waits."""

import asyncio
from contextlib import suppress


class Wake:
    """Something to wait for with a time limit; ringing it wakes the waiter once. Rings `also` the bells it is given."""

    def __init__(self, *also: "Wake") -> None:
        self._event = asyncio.Event()
        self._also = also

    def ring(self) -> None:
        """Wake the waiter now, or the next one at once."""
        self._event.set()
        for other in self._also:
            other.ring()

    async def wait(self, seconds: float) -> None:
        """Return at the next ring, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()
