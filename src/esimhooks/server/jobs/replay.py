"""Replay: a journal entry is looked at again, as if it had just come, because a person asks for it."""

from uuid import UUID

from esimhooks.server.domain.audit import Action
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.manage.queries import found
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import journal
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Database


class Replay:
    """Puts journal entries back on the backlog, which `backlog` wakes."""

    def __init__(self, database: Database, *, backlog: Wake) -> None:
        self._database = database
        self._backlog = backlog

    async def replay(self, notification_id: UUID) -> None:
        """Have the notification worked off again. Raises `Refused` (404)."""
        async with self._database.transaction() as db:
            entry = found(await journal.find(db, notification_id), "notification")
            await journal.reopen(db, entry.id, entry.source)
            await note(db, Action.NOTIFICATION_REPLAY, text_of(Prefix.NOTIFICATION, entry.id), whose=entry.tenant)
        self._backlog.notify()
