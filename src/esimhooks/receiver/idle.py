"""Connections that nobody uses at the moment, kept open for the next who needs one."""

from threading import Lock
from typing import Generic, Protocol, TypeVar

MOST_IDLE = 4


class Closable(Protocol):
    """A driver's connection."""

    def close(self) -> None:
        """End it, which rolls back what was not committed."""
        ...


C = TypeVar("C", bound=Closable)


class Idle(Generic[C]):
    """A few open connections; the one used last comes first. Threads may share it."""

    def __init__(self) -> None:
        self._connections: list[C] = []
        self._lock = Lock()
        self.closings = 0
        """How often all were closed; who takes a connection notes it, to hand it back with `put`."""

    def take(self) -> C | None:
        """Return an open connection, which may have died meanwhile, or None where there is none."""
        with self._lock:
            return self._connections.pop() if self._connections else None

    def put(self, connection: C, *, closings: int) -> None:
        """Keep a connection, or close it: where there are enough, or all were closed since it was taken."""
        with self._lock:
            kept = closings == self.closings and len(self._connections) < MOST_IDLE
            if kept:
                self._connections.append(connection)
        if not kept:
            connection.close()

    def close(self) -> None:
        """Close all, and those in use as soon as they are handed back."""
        with self._lock:
            self.closings += 1
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
