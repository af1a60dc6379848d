"""The journal: an entry is looked at again, as if it had just come, because a person asks for it."""

from uuid import UUID

from esimhooks.server.domain.audit import Action, Actor
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.store import journal
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session


async def replay(db: Session, actor: Actor, notification_id: UUID) -> None:
    """Put the notification back on the backlog. Raises `Refused` (404)."""
    entry = found(await journal.find(db, notification_id), "notification")
    await journal.reopen(db, entry)
    await record_action(
        db, actor, Action.NOTIFICATION_REPLAY, text_of(Prefix.NOTIFICATION, entry.id), owner=entry.tenant
    )
