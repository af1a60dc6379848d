"""Looks twice a second whether time-driven work is due, and wakes the loops that do it; they hardly look for themselves."""

from collections.abc import Mapping

from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store import due_work
from esimhooks.server.store.database import Database
from esimhooks.server.store.due_work import Work

CHECK_EVERY_S = 0.5
IDLE_S = 30.0
"""How long a loop pauses that is woken when its work is due."""


class DueWork:
    """One round of a loop. `wakes` are those of the loops that do each kind of work."""

    def __init__(self, database: Database, wakes: Mapping[Work, Wake]) -> None:
        self._database = database
        self._wakes = wakes

    async def wake_due(self) -> float:
        """Wake the loops whose work is due; returns the seconds until the next round."""
        async with self._database.session() as db:
            due = await due_work.due_kinds(db)
        for work in due:
            self._wakes[work].notify()
        return CHECK_EVERY_S
