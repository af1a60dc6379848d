"""One clock for all nodes: the database's.

It is read again and again and carried on between by a clock that is never set, so that a node whose own time is wrong, or
jumps, forgets nothing early and takes nothing new for old. Whoever needs the present time is given it as a `Clock`.
"""

from datetime import datetime, timedelta
from time import monotonic

from msgspec import Struct

from esimhooks.server.domain.clock import system_clock
from esimhooks.server.store import installation
from esimhooks.server.store.database import Database

EVERY_S = 10.0
READINGS = 3
"""Of this many at once the one counts that took the shortest."""
STALE_S = 60.0
"""After this a reading is replaced also by one that took much longer, and is less exact by that."""


class _Reading(Struct, frozen=True):
    at: datetime
    at_s: float
    took_s: float


class DatabaseClock:
    """Returns the present time by the database's clock, aware UTC; this machine's until it was read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: _Reading | None = None

    def __call__(self) -> datetime:
        """Return the present time, aware UTC."""
        if self._last is None:
            return system_clock()
        return self._last.at + timedelta(seconds=monotonic() - self._last.at_s)

    async def read(self) -> float:
        """Read the database's clock; the work of a loop. Raises `NotNow` where the database is away."""
        async with self._database.session() as db:
            readings: list[_Reading] = []
            for _ in range(READINGS):
                began = monotonic()
                at = await installation.clock(db)
                ended = monotonic()
                readings.append(_Reading(at, (began + ended) / 2, ended - began))
        best = min(readings, key=lambda one: one.took_s)
        if self._last is None or best.took_s <= 2 * self._last.took_s or best.at_s - self._last.at_s >= STALE_S:
            self._last = best
        return EVERY_S
