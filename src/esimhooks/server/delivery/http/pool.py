"""Connections that wait for the next request, by what they lead to and whom they trust.

Those used last are used first, so that the others can go: an idle connection is closed after a while, and sooner where
there are many, as the process must keep file handles for other things.
"""

import asyncio
import resource
import ssl
from time import monotonic
from typing import NamedTuple

from esimhooks.server.delivery.http.connection import Connection

IDLE_S = 55.0
"""Shorter than the minute after which many balancers forget a connection without a word."""
SWEEP_EVERY_S = 5.0
SHARE_OF_HANDLES = 4
"""One in this many of the file handles that the process may have."""
MAX_IDLE = 2048


class Origin(NamedTuple):
    """What connections are kept for. Those with other authorities are never shared: the context distinguishes them."""

    host: str
    port: int
    tls: ssl.SSLContext | None


class Pool:
    """The idle connections of a sender."""

    def __init__(self) -> None:
        self.closed = False
        self._idle: dict[Origin, list[Connection]] = {}
        self._count = 0
        self._max_connections = min(MAX_IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE_OF_HANDLES)
        self._sweep: asyncio.TimerHandle | None = None

    def acquire(self, origin: Origin) -> Connection | None:
        """Return a connection that is open, the one that was used last, or None."""
        waiting = self._idle.get(origin)
        while waiting:
            connection = waiting.pop()
            self._count -= 1
            if connection.is_open:
                return connection
        return None

    def release(self, origin: Origin, connection: Connection) -> None:
        """Keep an idle connection for the next request."""
        if self.closed or self._count >= self._max_connections:
            connection.abort()
            return
        self._idle.setdefault(origin, []).append(connection)
        self._count += 1
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._close_old)

    @property
    def idle(self) -> int:
        """How many connections wait that are still open."""
        return sum(one.is_open for waiting in self._idle.values() for one in waiting)

    def close(self) -> None:
        """Close all idle connections, and each one that would be kept from now on."""
        self.closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        self._close_before(float("inf"))

    def _close_old(self) -> None:
        self._sweep = None
        # Where not much room is left, those go first that have waited longest.
        limit_s = IDLE_S if self._count < self._max_connections // 2 else SWEEP_EVERY_S
        self._close_before(monotonic() - limit_s)
        if self._count:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._close_old)

    def _close_before(self, limit: float) -> None:
        for origin, waiting in list(self._idle.items()):
            kept = [one for one in waiting if one.is_open and one.idle_since >= limit]
            for one in waiting:
                if one not in kept:
                    one.abort()
            self._count -= len(waiting) - len(kept)
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
