"""Reads for the API, the dashboard and the command line. Every query on a tenant's rows takes the tenant."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.account import Account, ApiKey
from esimhooks.server.domain.delivery import Attempt, Delivery, DeliveryFilter
from esimhooks.server.domain.endpoint import Endpoint, Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import Esim, EsimFilter
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.figures import EndpointStats
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.notification import JournalEntry, JournalFilter
from esimhooks.server.domain.order import Order, OrderFilter
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.store import (
    accounts,
    deliveries,
    endpoints,
    esims,
    events,
    figures,
    journal,
    journal_lists,
    keys,
    orders,
    providers,
)
from esimhooks.server.store.database import Database

Row = TypeVar("Row")


class Window(Struct, frozen=True):
    """A part of a list, newest first: rows older than the id `before`."""

    before: UUID | None
    limit: int


class OperatorQueries:
    """What operators read: accounts, keys, orders, providers and the journal.

    Raises `Refused` (404) for a row that is not there, `NotNow` where the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account(self, account_id: UUID) -> Account:
        """Return an account."""
        async with self._database.session() as db:
            return found(await accounts.find(db, account_id), "account")

    async def accounts(self, window: Window) -> Sequence[Account]:
        """Return accounts."""
        async with self._database.session() as db:
            return await accounts.page(db, before=window.before, limit=window.limit)

    async def keys(self, account_id: UUID, window: Window) -> Sequence[ApiKey]:
        """Return an account's keys."""
        async with self._database.session() as db:
            found(await accounts.find(db, account_id), "account")
            return await keys.of_account(db, account_id, before=window.before, limit=window.limit)

    async def key_by_lookup(self, lookup: str) -> ApiKey | None:
        """Return the key with that public part, or None."""
        async with self._database.session() as db:
            return await keys.find_by_lookup(db, lookup)

    async def note_key_use(self, lookup: str, *, now: datetime) -> None:
        """Write down that the key with that public part was used, at most once a minute; read by `keys`."""
        async with self._database.session() as db:
            await keys.note_use(db, [lookup], now=now)

    async def order(self, order_id: UUID) -> tuple[Order, Sequence[Esim | Unreadable]]:
        """Return an order with its eSIMs."""
        async with self._database.snapshot() as db:
            order = found(await orders.find(db, order_id), "order")
            return order, await esims.of_order(db, order.tenant, order.id)

    async def esim(self, esim_id: UUID) -> Esim:
        """Return an eSIM, whoever's it is."""
        async with self._database.session() as db:
            return found(await esims.find_any(db, esim_id), "eSIM")

    async def orders(self, where: OrderFilter, window: Window) -> Sequence[Order]:
        """Return orders."""
        async with self._database.session() as db:
            return await orders.page(db, where, before=window.before, limit=window.limit)

    async def provider(self, name: str) -> StoredProvider:
        """Return a provider."""
        async with self._database.session() as db:
            return found(await providers.find(db, name), "provider")

    async def providers(self) -> Sequence[StoredProvider | Unreadable]:
        """Return all providers."""
        async with self._database.session() as db:
            return await providers.all_of_them(db)

    async def notification(self, notification_id: UUID) -> JournalEntry:
        """Return a journal entry."""
        async with self._database.session() as db:
            return found(await journal.find(db, notification_id), "notification")

    async def notifications(self, where: JournalFilter, window: Window) -> Sequence[JournalEntry | Unreadable]:
        """Return journal entries."""
        async with self._database.session() as db:
            return (await journal_lists.page(db, where, before=window.before, limit=window.limit)).rows


class TenantQueries:
    """What a merchant reads of its own, and an operator of any one account and mode.

    Raises `Refused` (404) for a row that is not there or not the tenant's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def esim(self, tenant: Tenant, esim_id: UUID) -> Esim:
        """Return an eSIM."""
        async with self._database.session() as db:
            return found(await esims.find(db, tenant, esim_id), "eSIM")

    async def esims(self, tenant: Tenant, where: EsimFilter, window: Window) -> Sequence[Esim | Unreadable]:
        """Return eSIMs."""
        async with self._database.session() as db:
            return await esims.page(db, tenant, where, before=window.before, limit=window.limit)

    async def event(self, tenant: Tenant, event_id: UUID) -> Event:
        """Return an event."""
        async with self._database.session() as db:
            return found(await events.find(db, tenant, event_id), "event")

    async def events(self, tenant: Tenant, where: EventFilter, window: Window) -> Sequence[Event | Unreadable]:
        """Return events, newest first."""
        async with self._database.session() as db:
            return (await events.page(db, tenant, where, before=window.before, limit=window.limit)).rows

    async def events_after(
        self, tenant: Tenant, where: EventFilter, after: int, limit: int
    ) -> Sequence[Event | Unreadable]:
        """Return events behind the position `after`, in the order of their commits."""
        async with self._database.session() as db:
            return await events.page_after(db, tenant, where, after=after, limit=limit)

    async def position(self, tenant: Tenant, event_id: UUID) -> int | None:
        """Return the position of an event, 0 for the id 0, None where there is no such event (any more)."""
        if not event_id.int:
            return 0
        async with self._database.session() as db:
            return await events.position_of(db, tenant, event_id)

    async def newest_event(self, tenant: Tenant) -> tuple[UUID, int]:
        """Return id and position of the last event, both 0 where there is none."""
        async with self._database.session() as db:
            return await events.newest(db, tenant) or (UUID(int=0), 0)

    async def endpoint(self, tenant: Tenant, endpoint_id: UUID) -> Endpoint:
        """Return an endpoint."""
        async with self._database.session() as db:
            return found(await endpoints.find(db, tenant, endpoint_id), "endpoint")

    async def endpoints(self, tenant: Tenant, window: Window) -> Sequence[Endpoint | Unreadable]:
        """Return endpoints."""
        async with self._database.session() as db:
            return await endpoints.page(db, tenant, before=window.before, limit=window.limit)

    async def endpoint_stats(self, tenant: Tenant, endpoint_id: UUID, *, since: datetime) -> EndpointStats:
        """Return how an endpoint has done since a moment (aware UTC), and how its lane stands."""
        async with self._database.snapshot() as db:
            return found(await figures.stats_of(db, tenant, endpoint_id, since=since), "endpoint")

    async def delivery(self, tenant: Tenant, delivery_id: UUID) -> tuple[Delivery, Sequence[Attempt]]:
        """Return a delivery with its attempts."""
        async with self._database.snapshot() as db:
            delivery = found(await deliveries.find(db, tenant, delivery_id), "delivery")
            return delivery, await deliveries.attempts_of(db, tenant, delivery_id)

    async def deliveries(self, tenant: Tenant, where: DeliveryFilter, window: Window) -> Sequence[Delivery]:
        """Return deliveries."""
        async with self._database.session() as db:
            return (await deliveries.page(db, tenant, where, before=window.before, limit=window.limit)).rows


def found(row: Row | None, what: str) -> Row:
    """Return the row. Raises `Refused` (404) where there is none."""
    if row is None:
        raise Refused.not_found(f"there is no such {what}")
    return row
