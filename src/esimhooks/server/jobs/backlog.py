"""The backlog: journal entries that need their provider's answer, or another look, are worked off until done.

Each try parses the journaled bytes again, asks the provider without a transaction, and absorbs what it says in one
transaction that also settles the entry. A try that fails is put off; a crash lets it come up again by itself.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.domain.notification import JournalEntry, Notification, OrderRef
from esimhooks.server.domain.schedule import ORDER_POLL_FIRST_S, while_allocating, while_down
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.ingest.absorb import Absorbed, Entry, absorb
from esimhooks.server.ingest.intake import must_ask
from esimhooks.server.ingest.orders import fill
from esimhooks.server.ingest.provider_clients import Connected, ConnectedProviders
from esimhooks.server.observe.log import get_logger
from esimhooks.server.providers.generic import parse_update
from esimhooks.server.providers.port import Lookup, ProviderRefused, StillAllocating, Unparsable
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import journal, orders
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.esims import Scope
from esimhooks.server.store.journal import Waiting

AT_ONCE = 10
CLAIM_S = 120.0
"""A claimed entry comes up again after this, should its worker have died."""
IDLE_S = 1.0

log = get_logger("backlog")


class Backlog:
    """Works off waiting notifications. `due` is notified when deliveries came of it."""

    def __init__(
        self, database: Database, connected: ConnectedProviders, *, policy: EmitPolicy, clock: Clock, due: Wake
    ) -> None:
        self._database = database
        self._connected = connected
        self._policy = policy
        self._clock = clock
        self._due = due

    async def work_off(self) -> float:
        """Try every entry that is due, several at once; the work of a loop."""
        async with self._database.session() as db:
            claimed = await journal.claim_backlog(db, limit=AT_ONCE, retry_in_s=CLAIM_S)
        async with asyncio.TaskGroup() as group:
            for waiting in claimed:
                group.create_task(self._try(waiting), name=f"backlog {waiting.notification_id}")
        return 0.0 if len(claimed) == AT_ONCE else IDLE_S

    async def _try(self, waiting: Waiting) -> None:
        try:
            await self._absorb(waiting)
        except NotNow as error:
            allocating = isinstance(error, StillAllocating)
            seconds = (
                while_allocating(waiting.tries)
                if allocating
                else while_down(waiting.tries, asked_s=error.retry_after_s)
            )
            log.info("notification.put_off", tries=waiting.tries, again_in_s=seconds, reason=error.detail)
            async with self._database.transaction() as db:
                await journal.put_off(db, waiting.notification_id, seconds=seconds, detail=error.detail)

    async def _absorb(self, waiting: Waiting) -> None:
        async with self._database.session() as db:
            entry = await journal.find(db, waiting.notification_id)
        if entry is None:
            raise NotNow("the journal entry is not there")
        if entry.source == journal.UPDATES_SOURCE:
            await self._absorb_update(entry)
            return
        connected = await self._connected.find(entry.source)
        if connected is None:
            await self._settle(entry, Absorbed(outcome=UpdateOutcome.UNMATCHED, detail="the provider was deleted"))
            return
        try:
            notification = connected.provider.parse(entry.request)
        except Unparsable as error:
            await self._settle(entry, Absorbed(outcome=UpdateOutcome.INVALID, detail=str(error)))
            return
        await self._absorb_notification(entry, connected, notification)

    async def _absorb_update(self, entry: JournalEntry) -> None:
        try:
            update = parse_update(entry.request.body)
        except Refused as error:
            await self._settle(entry, Absorbed(outcome=UpdateOutcome.INVALID, detail=error.detail))
            return
        await self._apply(entry, [update], identity=update.identity)

    async def _absorb_notification(self, entry: JournalEntry, connected: Connected, notification: Notification) -> None:
        if notification.order_ready is not None:
            await self._fill_order(entry, connected, notification.order_ready)
            return
        updates = notification.updates
        if not updates:
            await self._settle(entry, Absorbed(outcome=UpdateOutcome.IGNORED))
            return
        if must_ask(connected, notification):
            try:
                updates = await self._confirmed(connected, updates)
            except ProviderRefused as error:
                detail = f"not confirmed by the provider: {error}"
                await self._settle(entry, Absorbed(outcome=UpdateOutcome.INVALID, detail=detail))
                return
        await self._apply(entry, updates, identity=notification.updates[0].identity)

    async def _confirmed(self, connected: Connected, updates: Sequence[Update]) -> tuple[Update, ...]:
        """What the provider itself says of the eSIMs that an unsigned notification speaks of."""
        confirmed: list[Update] = []
        for update in updates:
            identity = update.identity
            lookup = Lookup(
                esim_tran_no=identity.esim_tran_no,
                order_no=None if identity.esim_tran_no else identity.order_no,
            )
            told = await connected.provider.fetch(lookup)
            confirmed += [one for one in told if _same_esim(one.identity, identity)]
        if not confirmed:
            raise ProviderRefused("it knows no such eSIM")
        return tuple(confirmed)

    async def _fill_order(self, entry: JournalEntry, connected: Connected, ref: OrderRef) -> None:
        async with self._database.session() as db:
            order = await orders.find_by_reference(db, entry.source, ref)
        identity = Identity(order_no=ref.order_no, transaction_id=ref.transaction_id)
        if order is None:
            unmatched = Absorbed(outcome=UpdateOutcome.UNMATCHED, detail="no such order is known")
            await self._settle(entry, unmatched, identity=identity)
            return
        if not connected.provider.can_fetch:
            detail = "the provider has no credentials, so the order's eSIMs cannot be fetched"
            await self._settle(entry, Absorbed(outcome=UpdateOutcome.UNMATCHED, detail=detail), identity=identity)
            return
        order_no = order.order_no or ref.order_no
        try:
            snapshots = await connected.provider.fetch(Lookup(order_no=order_no))
        except ProviderRefused as error:
            detail = f"the provider refused: {error}"
            await self._settle(entry, Absorbed(outcome=UpdateOutcome.INVALID, detail=detail))
            return
        now = self._clock()
        async with self._database.transaction() as db:
            if order.order_no is None and order_no is not None:
                await orders.set_order_no(db, order.id, order_no, first_poll_in_s=ORDER_POLL_FIRST_S)
            results = await fill(db, order, snapshots, self._policy, now=now, notification_id=entry.id)
            await _settle(db, entry, combined(results))
        self._due.notify()

    async def _apply(self, entry: JournalEntry, updates: Sequence[Update], *, identity: Identity) -> None:
        now = self._clock()
        scope = Scope(tenant=entry.tenant, provider=None if entry.source == journal.UPDATES_SOURCE else entry.source)
        entries = [
            Entry(
                update=update,
                scope=scope,
                received_at=now if update.authoritative else entry.received_at,
                notification_id=entry.id,
                creates=entry.tenant is not None,
            )
            for update in updates
        ]
        async with self._database.transaction() as db:
            results = await absorb(db, entries, self._policy, now=now)
            await _settle(db, entry, combined(results), identity)
        self._due.notify()

    async def _settle(self, entry: JournalEntry, result: Absorbed, *, identity: Identity | None = None) -> None:
        async with self._database.transaction() as db:
            await _settle(db, entry, result, identity)


async def _settle(db: Session, entry: JournalEntry, result: Absorbed, identity: Identity | None = None) -> None:
    await journal.settle(db, entry.id, result.outcome, detail=result.detail, esim_id=result.esim_id)
    if result.outcome is UpdateOutcome.UNMATCHED and identity is not None:
        await journal.remember_unmatched(db, [(entry.id, entry.source, identity)])


def combined(results: Sequence[Absorbed]) -> Absorbed:
    """Sum up what became of several updates of one notification: the outcome that changed most, all the events."""
    order = [
        UpdateOutcome.APPLIED,
        UpdateOutcome.UNMATCHED,
        UpdateOutcome.UNCHANGED,
        UpdateOutcome.STALE,
        UpdateOutcome.INVALID,
        UpdateOutcome.IGNORED,
    ]
    if not results:
        return Absorbed(outcome=UpdateOutcome.UNCHANGED, detail="the provider told nothing")
    first = min(results, key=lambda result: order.index(result.outcome))
    events: tuple[UUID, ...] = sum((result.event_ids for result in results), ())
    details = [result.detail for result in results if result.detail]
    return msgspec.structs.replace(first, event_ids=events, detail="; ".join(details) or None)


def _same_esim(told: Identity, wanted: Identity) -> bool:
    if wanted.esim_tran_no is not None:
        return told.esim_tran_no == wanted.esim_tran_no
    return wanted.iccid is None or told.iccid == wanted.iccid
