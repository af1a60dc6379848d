"""The telephone between nodes: what was committed here wakes the dispatchers there, and the other way round."""

import asyncio

from esimhooks.server.domain.ids import new_id
from esimhooks.server.runtime.loop import Loop
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import lanes
from esimhooks.server.store.database import Database

AT_MOST_EVERY_S = 0.02
"""However many commits there are, other nodes are rung this often: each bell costs a commit."""
IDLE_S = 60.0


class Telephone:
    """Rings other nodes when its `wake` is rung, and the given bell when they ring."""

    def __init__(self, database: Database, dsn: str, *, wake: Wake) -> None:
        self.wake = Wake()
        self._database = database
        self._dsn = dsn
        self._heard = wake
        self._name = new_id()
        self._first = True

    def loops(self) -> list[Loop]:
        """Return the two loops that keep the line."""
        return [Loop("ringing", self._ring, wake=self.wake), Loop("listening", self._listen, endless=True)]

    async def _ring(self) -> float:
        if self._first:  # the round at the start of the loop has nothing to tell
            self._first = False
            return IDLE_S
        async with self._database.session() as db:
            await lanes.ring(db, sender=self._name)
        await asyncio.sleep(AT_MOST_EVERY_S)
        return IDLE_S

    async def _listen(self) -> float:
        await lanes.listen(self._dsn, self._heard.ring, sender=self._name)
        return 0.0
