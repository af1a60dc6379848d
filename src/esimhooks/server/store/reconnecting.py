"""How a pool opens connections: after one that failed, no more than a few a second.

While a database is down, every request and every loop wants a connection: hundreds a second, and each is a process that a server
which stops or recovers has to start first. Between two tries all of them get the last error at once.
"""

from time import monotonic
from typing import Any

import asyncpg

PAUSE_S = 0.2
"""The time between two tries after a failure."""


class Reconnecting:
    """Called by the pool for each connection that it needs, with the arguments of `asyncpg.connect`."""

    def __init__(self) -> None:
        self._error: Exception | None = None
        self._next_at = 0.0

    async def __call__(self, *args: Any, **kwargs: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection. Raises what the driver raises, or what it raised last where it is too early for another try.

        Tries may overlap: a host that was cut off answers none for seconds, and the next one may find another host.
        """
        if self._error is not None:
            if monotonic() < self._next_at:
                raise self._error.with_traceback(None)
            self._next_at = monotonic() + PAUSE_S
        try:
            connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(*args, **kwargs)
        except Exception as error:
            if self._error is None:
                self._next_at = monotonic() + PAUSE_S
            self._error = error
            raise
        self._error = None
        return connection
