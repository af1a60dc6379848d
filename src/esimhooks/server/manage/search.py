"""Searches that people make: filters that look at so many rows of a long list, and one field that takes any id or number."""

from collections.abc import Sequence
from uuid import UUID

from esimhooks.server.domain.delivery import Delivery, DeliveryFilter
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.hit import Hit
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.looked import Looked
from esimhooks.server.domain.notification import JournalEntry, JournalFilter
from esimhooks.server.domain.unreadable import Unreadable
from esimhooks.server.manage.queries import Window
from esimhooks.server.store import delivery_lists, events, journal_lists, lookups
from esimhooks.server.store.database import Database

MOST_DELIVERIES = 20_000
MOST_EVENTS = 10_000
MOST_NOTIFICATIONS = 20_000
"""How many rows one search looks at for those that fit; what is older is looked at when it is asked for."""
MOST_HITS = 25


class Search:
    """Raises `NotNow` where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(self, tenant: Tenant, where: EventFilter, window: Window) -> Looked[Event | Unreadable]:
        """Return events of the window that fit, and how far it looked."""
        async with self._database.snapshot() as db:
            return await events.page(db, tenant, where, before=window.before, limit=window.limit, most=MOST_EVENTS)

    async def deliveries(self, tenant: Tenant, where: DeliveryFilter, window: Window) -> Looked[Delivery]:
        """Return deliveries of the window that fit, and how far it looked."""
        async with self._database.snapshot() as db:
            return await delivery_lists.page(
                db, tenant, where, before=window.before, limit=window.limit, most=MOST_DELIVERIES
            )

    async def notifications(self, where: JournalFilter, window: Window) -> Looked[JournalEntry | Unreadable]:
        """Return journal entries of the window that fit, and how far it looked; for operators."""
        async with self._database.snapshot() as db:
            return await journal_lists.page(
                db, where, before=window.before, limit=window.limit, most=MOST_NOTIFICATIONS
            )

    async def find(self, tenant: Tenant | None, text: str) -> Sequence[Hit]:
        """Return what has this id, or the eSIMs that have this number; among all rows without a tenant, for operators."""
        async with self._database.snapshot() as db:
            if (named := _id_in(text)) is None:
                return await lookups.by_number(db, tenant, text, limit=MOST_HITS)
            kind, row_id = named
            if kind is Prefix.ORDER:
                return await lookups.by_order(db, tenant, row_id, limit=MOST_HITS)
            if kind is Prefix.AUDIT:
                hit = await lookups.audit_entry(db, tenant, row_id)
            else:
                hit = await lookups.by_id(db, tenant, kind, row_id)
            return [] if hit is None else [hit]


def _id_in(text: str) -> tuple[Prefix, UUID] | None:
    head, _, _ = text.partition("_")
    if head not in set(Prefix):
        return None
    try:
        return Prefix(head), parse_id(Prefix(head), text)
    except Refused:
        return None
