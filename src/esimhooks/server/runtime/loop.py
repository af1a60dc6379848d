"""How every background loop runs: repeat, wait, wake, stop, and survive errors.

The work of a loop does one round and returns when the next is due. Errors are logged and the round is retried with growing
pauses, so that the loop recovers by itself from an outage of the database or a provider. Waking a loop before its time is
cheap, and is not lost while nothing waits.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.observe import metrics
from esimhooks.server.observe.log import get_logger


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


Work = Callable[[], Awaitable[float]]
"""Does one round; returns the seconds until the next, 0 where more is waiting."""

FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0

log = get_logger("loop")


class Loop:
    """Runs `work` until `stop`. `wake` brings the next round forward.

    `endless` work, such as listening, ends only by being cancelled: `stop` does that. After errors the pauses grow to
    `max_pause_s`; a round that went on for longer before it failed has begun well, and the pauses start over.
    """

    def __init__(
        self,
        name: str,
        work: Work,
        *,
        wake: Wake | None = None,
        endless: bool = False,
        max_pause_s: float = MAX_PAUSE_S,
    ) -> None:
        self.name = name
        self.wake = wake or Wake()
        self.rounds = 0
        self._work = work
        self._endless = endless
        self._max_pause_s = max_pause_s
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Repeat the work until `stop`."""
        self._task = asyncio.current_task()
        pause = FIRST_PAUSE_S
        while not self._stopping:
            began = monotonic()
            try:
                seconds = await self._work()
                if pause > FIRST_PAUSE_S:
                    log.info("loop.goes_on", loop=self.name)
                pause = FIRST_PAUSE_S
            except Exception as error:  # a defect in one round must not end the loop
                if monotonic() - began > 2 * self._max_pause_s:
                    pause = FIRST_PAUSE_S
                if not isinstance(error, NotNow):
                    log.exception("loop.failed", loop=self.name, error=error)
                elif pause == FIRST_PAUSE_S:  # an outage is logged once, not in every round
                    log.warning("loop.waits", loop=self.name, reason=error.detail)
                metrics.loop_failed(self.name)
                seconds, pause = pause * (1 + random.random() / 4), min(pause * 2, self._max_pause_s)  # noqa: S311
            self.rounds += 1
            if seconds > 0 and not self._stopping:
                await self.wake.wait(seconds)

    def stop(self) -> None:
        """End after the present round, or cancel it where it is endless."""
        self._stopping = True
        self.wake.notify()
        if self._endless and self._task is not None:
            self._task.cancel()


async def run_guarded(name: str, work: Awaitable[None]) -> None:
    """Await independent work; an error in it is logged and ends nothing else."""
    try:
        await work
    except Exception as error:
        log.exception("work.failed", work=name, error=error)
