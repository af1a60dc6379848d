"""Whether a node should get requests: it is not stopping, and its database is up to date and commits what is written."""

import asyncio
from pathlib import Path
from time import monotonic

from msgspec import Struct

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.store import installation, migrate
from esimhooks.server.store.database import Database

WITHIN_S = 2.0
CACHE_TTL_S = 1.0
"""A check within this time gets the answer of the last one: each check is a commit."""


class ProcessSlot(Struct, frozen=True):
    """Which of how many processes of a node this one is, and the folder of their sockets."""

    folder: Path
    number: int
    processes: int

    def socket_of(self, number: int) -> str:
        """Return where a process of the node listens."""
        return str(self.folder / f"{number}.lanes")


class Siblings:
    """The processes of one node: `missing` is how many are not there, as they are being started.

    `slot` is that of this process among them, None where it is alone.
    """

    def __init__(self, slot: ProcessSlot | None = None) -> None:
        self.slot = slot
        self.missing = 0


class Health:
    """Whether this node should get requests."""

    def __init__(self, database: Database, siblings: Siblings) -> None:
        self._database = database
        self._checking = asyncio.Lock()
        self._ready_at = float("-inf")
        self._siblings = siblings
        self.draining = False

    async def check_ready(self) -> None:
        """Raise `NotNow` where the node is stopping, or its database is behind this program or takes no commit in time."""
        if self.draining:
            raise NotNow("the server is stopping")
        if self._siblings.missing:
            raise NotNow(f"{self._siblings.missing} processes of the server are being started")
        async with self._checking:
            if monotonic() - self._ready_at < CACHE_TTL_S:
                return
            try:
                async with asyncio.timeout(WITHIN_S), self._database.transaction() as db:
                    await migrate.check_not_behind(db)
                    await installation.check_takes_writes(db)
            except TimeoutError:
                raise NotNow(f"the database did not commit within {WITHIN_S:.0f} s") from None
            self._ready_at = monotonic()
