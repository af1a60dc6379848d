"""Wakes the dispatchers of other nodes when something was committed here, and those of this node the other way round."""

import asyncio

from esimhooks.server.domain.ids import new_id
from esimhooks.server.runtime.loop import Loop, Wake
from esimhooks.server.store import lanes
from esimhooks.server.store.database import Database

MIN_INTERVAL_S = 0.02
"""However many commits there are, other nodes are notified this often: each notification costs a commit."""
IDLE_S = 60.0
CHECK_EVERY_S = 0.1
"""For work of others, where nothing can be listened to."""
MAX_PAUSE_S = 1.0
"""Between attempts to listen again: other nodes see by that connection whether this one lives."""


class Notifier:
    """Notifies other nodes when its `wake` is notified, and the given `wake` when they notify this one.

    `dsn` is where they are listened to, past any pooler; None where that cannot be: then `wake` is notified all the time.
    """

    def __init__(self, database: Database, dsn: str | None, *, wake: Wake) -> None:
        self.wake = Wake()
        self.backend: lanes.Backend | None = None
        """What serves the connection on which this node listens; it ends with the node, however that ends."""
        self._database = database
        self._dsn = dsn
        self._local = wake
        self._name = new_id()
        self._first = True

    @property
    def listens(self) -> bool:
        """Whether there is a connection on which this node listens, or will be."""
        return self._dsn is not None

    def loops(self) -> list[Loop]:
        """Return the two loops: one that notifies, one that listens."""
        notifying = Loop("notifying", self._notify, wake=self.wake)
        if self._dsn is None:
            return [notifying, Loop("looking", self._poll)]
        return [notifying, Loop("listening", self._listen, endless=True, max_pause_s=MAX_PAUSE_S)]

    async def _notify(self) -> float:
        if self._first:  # the round at the start of the loop has nothing to say
            self._first = False
            return IDLE_S
        async with self._database.session() as db:
            await lanes.notify(db, sender=self._name)
        await asyncio.sleep(MIN_INTERVAL_S)
        return IDLE_S

    async def _poll(self) -> float:
        self._local.notify()
        return CHECK_EVERY_S

    async def _listen(self) -> float:
        if self._dsn is None:
            return IDLE_S
        await lanes.listen(self._dsn, self._local.notify, sender=self._name, connected=self._on_connected)
        return 0.0

    def _on_connected(self, backend: lanes.Backend | None) -> None:
        self.backend = backend
        self._local.notify()  # the dispatcher reports it
