"""The connections of one database: the idle ones, kept for the next who needs one, and those in use.

Drivers' connections come in and go out. At a fork none is shared with the child: the parent closes its idle ones before,
waiting for those in use, and a child that got some all the same forgets them.
"""

from collections.abc import Callable
from threading import Condition, get_ident
from typing import Generic, Protocol, TypeVar
from weakref import finalize

from esimhooks.receiver import forks
from esimhooks.receiver.failures import caught

MAX_IDLE = 4
FORK_WAIT_S = 5.0
"""How long a fork waits for transactions at work: longer than a receiver's own may last, hanging ones aside."""


class Closable(Protocol):
    """A driver's connection."""

    def close(self) -> None:
        """End it, which rolls back what was not committed."""
        ...


C = TypeVar("C", bound=Closable)


class Idle(Generic[C]):
    """A few open connections; the one used last comes first. Threads may share it.

    `abandon` makes a child let go of a connection of its parent without ending it for the parent; it is given whether the
    connection was idle.
    """

    def __init__(self, abandon: Callable[[C, bool], None]) -> None:
        self._abandon = abandon
        self.closings = 0
        """How often all were closed; who takes a connection notes it, to hand it back with `put`."""
        self._all: list[C]
        self._connections: list[C] = []
        # A thread that was given up may hand back its connection when nobody is left to close the pool.
        finalize(self, _close_all, self._connections).atexit = False
        self._start_anew()
        forks.register(
            before=self._before_fork, in_parent=self._after_fork_in_parent, in_child=self._after_fork_in_child
        )

    def take(self) -> C | None:
        """Return an open connection, which may have died meanwhile, or None where there is none.

        Waits while the process forks.
        """
        if self._process.forked:
            self._after_fork_in_child()
        with self._changed:
            self._changed.wait_for(lambda: not self._forking, FORK_WAIT_S)
            self._users.append(get_ident())
            return self._connections.pop() if self._connections else None

    def opened(self, connection: C) -> C:
        """Record a connection that was opened because there was no idle one."""
        with self._changed:
            self._all.append(connection)
        return connection

    def remove(self, connection: C) -> None:
        """Close a connection that died while nobody used it; whoever took it uses another."""
        with caught(Exception):
            connection.close()
        with self._changed:
            self._all = [one for one in self._all if one is not connection]

    def put(self, connection: C, *, closings: int) -> None:
        """Keep a connection, or close it: where there are enough, or all were closed since it was taken."""
        with self._changed:
            kept = closings == self.closings and not self._forking and len(self._connections) < MAX_IDLE
            if kept:
                self._connections.append(connection)
                self._give_back()
        if not kept:
            self.drop(connection)

    def drop(self, connection: C | None) -> None:
        """Close a connection instead of handing it back; None where none could be opened."""
        if connection is not None:
            self.remove(connection)
        with self._changed:
            self._give_back()

    def close(self) -> None:
        """Close all, and those in use as soon as they are handed back."""
        with self._changed:
            self.closings += 1
            self._close_idle()

    def _before_fork(self) -> None:
        """Wait until no connection is in use, and close all."""
        with self._changed:
            self._forking = True
            self._changed.wait_for(self._used_by_no_other, FORK_WAIT_S)
            self._close_idle()

    def _after_fork_in_parent(self) -> None:
        """Let connections be opened again."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    def _after_fork_in_child(self) -> None:
        """Forget the parent's connections."""
        if self._process.forked:
            inherited, idle = self._all, self._connections.copy()
            self._start_anew()
            _kept_for_ever.extend(inherited)
            for connection in inherited:
                with caught(Exception):
                    self._abandon(connection, connection in idle)

    def _start_anew(self) -> None:
        self._process = forks.ProcessMark()
        self._changed = Condition()
        self._connections.clear()
        self._all = []
        self._users: list[int] = []
        self._forking = False

    def _give_back(self) -> None:
        if get_ident() in self._users:  # not so where the transaction began before a fork
            self._users.remove(get_ident())
        self._changed.notify_all()

    def _used_by_no_other(self) -> bool:
        return all(user == get_ident() for user in self._users)

    def _close_idle(self) -> None:
        connections = self._connections.copy()
        self._connections.clear()
        self._all = [one for one in self._all if one not in connections]
        _close_all(connections)


def _close_all(connections: list[C]) -> None:
    while connections:
        connections.pop().close()


_kept_for_ever: list[object] = []
"""Connections of a parent: a driver that finalizes one would end it for the parent."""
