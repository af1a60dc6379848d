"""Wakes the dispatchers of other nodes when something was committed here, and those of this node the other way round."""

import asyncio

from esimhooks.server.domain.ids import new_id
from esimhooks.server.runtime.loop import Loop
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import lanes
from esimhooks.server.store.database import Database

AT_MOST_EVERY_S = 0.02
"""However many commits there are, other nodes are notified this often: each notification costs a commit."""
IDLE_S = 60.0


class Notifier:
    """Notifies other nodes when its `wake` is notified, and the given `wake` when they notify this one."""

    def __init__(self, database: Database, dsn: str, *, wake: Wake) -> None:
        self.wake = Wake()
        self._database = database
        self._dsn = dsn
        self._local = wake
        self._name = new_id()
        self._first = True

    def loops(self) -> list[Loop]:
        """Return the two loops: one that notifies, one that listens."""
        return [Loop("notifying", self._notify, wake=self.wake), Loop("listening", self._listen, endless=True)]

    async def _notify(self) -> float:
        if self._first:  # the round at the start of the loop has nothing to say
            self._first = False
            return IDLE_S
        async with self._database.session() as db:
            await lanes.notify(db, sender=self._name)
        await asyncio.sleep(AT_MOST_EVERY_S)
        return IDLE_S

    async def _listen(self) -> float:
        await lanes.listen(self._dsn, self._local.notify, sender=self._name)
        return 0.0
