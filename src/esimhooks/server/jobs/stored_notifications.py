"""Notifications that were stored and answered are applied: in their order, of each account its share, many at once.

One node at a time does it. A batch that fails is tried by halves; a notification that fails by itself is left to the backlog
with those behind it that speak of the same eSIM, and the others go on. A crash lets all come up again.
"""

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.errors import NotNow, is_database_away
from esimhooks.server.domain.schedule import outage_delay_s
from esimhooks.server.ingest.batch import Item, apply_batch, names_in
from esimhooks.server.ingest.inbound import Wakes, report
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.ingest.reading import item_from_journal
from esimhooks.server.jobs.backlog import BEHIND, is_behind, readable, reason_of
from esimhooks.server.jobs.due_work import IDLE_S
from esimhooks.server.observe.log import get_logger
from esimhooks.server.runtime.for_each import for_each
from esimhooks.server.store import journal, stored_first
from esimhooks.server.store.database import Database
from esimhooks.server.store.journal import Waiting

NAME = "stored notifications"
MAX_PER_BATCH = 200
FIRST_PAUSE_S = 0.05
"""Where nothing is found any more the pauses double from this: other processes may still be storing."""
BUSY_RETRY_S = 0.1
"""When to look again after another node was found at it."""

Ready: TypeAlias = tuple[Waiting, Item]

log = get_logger("stored")


class StoredNotifications:
    """Applies what was stored first. `wakes` are notified after each commit."""

    def __init__(self, database: Database, clients: ProviderClients, *, policy: EmitPolicy, wakes: Wakes) -> None:
        self._database = database
        self._clients = clients
        self._policy = policy
        self._wakes = wakes
        self._after: UUID | None = None
        self._pause_s = IDLE_S

    async def process_due(self) -> float:
        """Apply the next ones; the work of a loop."""
        began_after = self._after
        async with self._database.session() as db:
            waiting, self._after = await stored_first.next_ones(db, after=self._after, limit=MAX_PER_BATCH)
            entries = await journal.find_all(db, [one.notification_id for one in waiting])
        ready: list[Ready] = []

        async def read(one: Waiting) -> None:
            entry = readable(entries.get(one.notification_id))
            ready.append((one, await item_from_journal(entry, self._clients)))

        failed = await for_each(NAME, waiting, read, row_id=lambda one: one.notification_id)
        for each in failed:
            await self._leave([each.row], each.error)
        if ready and not await self._apply(ready, blocked=set()):
            return BUSY_RETRY_S
        if waiting or began_after is not None:
            self._pause_s = FIRST_PAUSE_S
            return 0.0
        self._pause_s = min(2 * self._pause_s, IDLE_S)
        return self._pause_s

    async def _apply(self, ready: Sequence[Ready], *, blocked: set[str]) -> bool:
        """Apply these in their order; false where another node is at it. Raises `NotNow` where the database is away.

        Those that speak of what is `blocked` are left to the backlog, behind the one that has failed.
        """
        behind = [waiting for waiting, item in ready if is_behind(item, blocked)]
        left = {one.notification_id for one in behind}
        rest = [one for one in ready if one[0].notification_id not in left]
        if behind:
            await self._leave(behind, NotNow(BEHIND))
        is_ours: list[bool] = []

        async def apply(batch: Sequence[Ready]) -> None:
            is_ours.append(await self._apply_ready(batch))

        batches = [rest] if rest else []
        failed = await for_each(NAME, batches, apply, row_id=lambda batch: f"{len(batch)} at once")
        if not failed:
            return all(is_ours)
        error = failed[0].error
        if is_database_away(error):
            raise error
        if len(rest) == 1:
            blocked |= names_in(rest[0][1])
            await self._leave([rest[0][0]], error)
            return True
        half = len(rest) // 2
        return await self._apply(rest[:half], blocked=blocked) and await self._apply(rest[half:], blocked=blocked)

    async def _apply_ready(self, ready: Sequence[Ready]) -> bool:
        async with self._database.transaction() as db:
            if not await journal.lock_backlog(db, stored_first=True):
                return False
            still = await journal.still_waiting(db, [waiting for waiting, _ in ready])
            items = [item for waiting, item in ready if waiting.notification_id in still]
            if not items:
                return True
            applied = await apply_batch(db, items, self._policy)
        self._wakes.notify(applied)
        for item, results in zip(items, applied.results, strict=True):
            report(item, results)
        return True

    async def _leave(self, waiting: Sequence[Waiting], error: Exception) -> None:
        """Leave these to the backlog, to be tried again later and in their order."""
        detail = reason_of(error)
        log.warning("notifications.put_off", number=len(waiting), reason=detail, error=error)
        async with self._database.transaction() as db:
            for one in waiting:
                await journal.postpone(db, one, seconds=outage_delay_s(one.tries), detail=detail)
