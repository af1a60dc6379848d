"""How a pool opens connections: while a database is down, no more than a few tries a second.

Every request and every loop wants a connection then: hundreds a second, and each is a process that a server which stops or
recovers has to start first. For a moment after a failure all get its error at once; then one tries, and the others wait for it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import asyncpg

PAUSE_S = 0.2
"""The time between two tries after a failure."""


class Reconnecting:
    """Called by the pool for each connection that it needs, with the arguments of `asyncpg.connect`."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._error: Exception | None = None
        self._failed_at = self._tried_at = 0.0
        self._tried = asyncio.Event()

    async def __call__(self, *args: Any, **kwargs: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection. Raises what the driver raises, or what it raised last where that was just before."""
        await self._turn()
        try:
            connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(*args, **kwargs)
        except Exception as error:
            self._error, self._failed_at = error, self._clock()
            raise
        except asyncio.CancelledError:
            self._tried_at = -PAUSE_S  # it has found out nothing: the next one tries at once
            raise
        else:
            self._error = None
        finally:
            self._tried.set()
        return connection

    async def _turn(self) -> None:
        """Return when it is time to try. One try that takes longer than a pause, as at a host that was cut off, holds up none."""
        while self._error is not None:
            now = self._clock()
            if now < self._failed_at + PAUSE_S:
                raise self._error.with_traceback(None)
            if now >= self._tried_at + PAUSE_S:
                self._tried_at = now
                self._tried.clear()
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._tried_at + PAUSE_S - now):
                    await self._tried.wait()
