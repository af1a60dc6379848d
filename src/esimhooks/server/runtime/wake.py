"""What wakes a loop before its time is up. Notifying is cheap, and is not lost while nobody waits."""

import asyncio
from contextlib import suppress


class Wake:
    """Waited for with a time limit; `notify` wakes the waiter once, and those of `also`."""

    def __init__(self, *also: "Wake") -> None:
        self._event = asyncio.Event()
        self._also = also

    def notify(self) -> None:
        """Wake the waiter now, or the next one at once."""
        self._event.set()
        for other in self._also:
            other.notify()

    async def wait(self, seconds: float) -> None:
        """Return when notified, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()
