"""The backlog: journal rows that need their provider's answer, or another look, are worked off until done.

Each try parses the journaled bytes again, asks the provider, if it must, without a transaction, and takes in what is known
then in one transaction that also settles the row. Those for which nobody is asked are applied in the order in which they came. A try that fails is put off; a crash lets it come up again by itself.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.domain.notification import JournalEntry, Notification, OrderNews
from esimhooks.server.domain.order import Order
from esimhooks.server.domain.schedule import ORDER_POLL_FIRST_S, while_allocating, while_down
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.ingest.batch import Item, take_in
from esimhooks.server.ingest.inbound import Wakes, must_ask
from esimhooks.server.ingest.operator_updates import read_update
from esimhooks.server.ingest.orders import fail, fill
from esimhooks.server.ingest.provider_clients import Connected, ConnectedProviders
from esimhooks.server.observe.log import get_logger
from esimhooks.server.providers.port import Lookup, OrderFailed, ProviderRefused, StillAllocating, Unparsable
from esimhooks.server.runtime.for_each import Failed, for_each
from esimhooks.server.store import journal, orders
from esimhooks.server.store.database import Database
from esimhooks.server.store.intake import Scope
from esimhooks.server.store.journal import Waiting

MAX_CONCURRENT = 10
CLAIM_S = 120.0
"""A claimed row comes up again after this, should its worker have died."""
IDLE_S = 1.0
AGAIN = frozenset({UpdateOutcome.UNMATCHED, UpdateOutcome.WAITING})
"""Outcomes of updates that another look may change."""

Asks: TypeAlias = Callable[[], Awaitable[None]]
Found = TypeVar("Found")

log = get_logger("backlog")


class Backlog:
    """Works off waiting notifications. `wakes` are notified after each commit."""

    def __init__(
        self, database: Database, connected: ConnectedProviders, *, policy: EmitPolicy, clock: Clock, wakes: Wakes
    ) -> None:
        self._database = database
        self._connected = connected
        self._policy = policy
        self._clock = clock
        self._wakes = wakes

    async def work_off(self) -> float:
        """Try every row that is due, several at once; the work of a loop."""
        async with self._database.session() as db:
            claimed = await journal.claim_backlog(db, limit=MAX_CONCURRENT, retry_in_s=CLAIM_S)
        asking: list[tuple[Waiting, Asks]] = []

        async def in_order(waiting: Waiting) -> None:
            asks = await self._try(waiting, lambda: self._work_on(waiting))
            if asks is not None:
                asking.append((waiting, asks))

        failed = list(await for_each("backlog", claimed, in_order, row_id=lambda one: one.notification_id))
        failed_asking = await for_each(
            "backlog",
            asking,
            lambda one: self._try(*one),
            row_id=lambda one: one[0].notification_id,
            max_concurrent=MAX_CONCURRENT,
        )
        failed += [Failed(one.row[0], one.error) for one in failed_asking]
        for one in failed:
            unreadable = (
                "the row cannot be decrypted" if isinstance(one.error, Broken) else "something broke; see the log"
            )
            await self._put_off(one.row, while_down(one.row.tries, asked_s=0), unreadable)
        return 0.0 if len(claimed) == MAX_CONCURRENT else IDLE_S

    async def _try(self, waiting: Waiting, work: Callable[[], Awaitable[Found]]) -> Found | None:
        try:
            return await work()
        except NotNow as error:
            allocating = isinstance(error, StillAllocating)
            asked_s = error.retry_after_s
            again_in_s = while_allocating(waiting.tries) if allocating else while_down(waiting.tries, asked_s=asked_s)
            log.info("notification.put_off", tries=waiting.tries, again_in_s=again_in_s, reason=error.detail)
            await self._put_off(waiting, again_in_s, error.detail)
            return None

    async def _put_off(self, waiting: Waiting, seconds: float, reason: str) -> None:
        async with self._database.transaction() as db:
            await journal.put_off(db, waiting.notification_id, seconds=seconds, detail=reason)

    async def _work_on(self, waiting: Waiting) -> Asks | None:
        """Settle the notification, or return what asks its provider first, which need not keep the others waiting."""
        async with self._database.session() as db:
            entry = await journal.find(db, waiting.notification_id)
        if entry is None:
            raise NotNow("the row of the journal is not there")
        if entry.source == journal.UPDATES_SOURCE:
            await self._apply_operator_update(entry)
            return None
        connected = await self._connected.find(entry.source)
        if connected is None:
            await self._settle(entry, UpdateOutcome.UNMATCHED, "the provider was deleted")
            return None
        try:
            notification = connected.provider.parse(entry.request)
        except Unparsable as error:
            await self._settle(entry, UpdateOutcome.INVALID, str(error))
            return None
        if must_ask(connected, notification, proven=entry.request.proven):
            return lambda: self._ask(entry, connected, notification)
        if not notification.updates:
            await self._settle(entry, UpdateOutcome.IGNORED, None)
            return None
        await self._apply(entry, Scope(provider=entry.source), notification.updates)
        return None

    async def _apply_operator_update(self, entry: JournalEntry) -> None:
        handed = read_update(entry.request.body, tenant=entry.tenant)
        if handed.update is None:
            await self._settle(entry, UpdateOutcome.INVALID, handed.wrong or "it is not understood")
            return
        scope = Scope(tenant=entry.tenant, provider=handed.provider)
        await self._apply(entry, scope, [handed.update])

    async def _ask(self, entry: JournalEntry, connected: Connected, notification: Notification) -> None:
        if notification.order is not None:
            await self._work_on_order(entry, connected, notification.order)
            return
        try:
            updates = await self._confirmed(connected, notification.updates)
        except ProviderRefused as error:
            await self._settle(entry, UpdateOutcome.INVALID, f"not confirmed by the provider: {error}")
            return
        await self._apply(entry, Scope(provider=entry.source), updates)

    async def _confirmed(self, connected: Connected, updates: Sequence[Update]) -> Sequence[Update]:
        """Return what the provider itself says of the eSIMs that an unsigned notification speaks of."""
        confirmed: list[Update] = []
        for update in updates:
            identity = update.identity
            lookup = Lookup(
                esim_tran_no=identity.esim_tran_no,
                order_no=None if identity.esim_tran_no else identity.order_no,
            )
            fetched = await connected.provider.fetch(lookup)
            confirmed += [
                replace(one, reason=one.reason or update.reason)
                for one in fetched
                if _is_same_esim(one.identity, identity)
            ]
        if not confirmed:
            raise ProviderRefused("it knows no such eSIM")
        return confirmed

    async def _work_on_order(self, entry: JournalEntry, connected: Connected, news: OrderNews) -> None:
        async with self._database.session() as db:
            order = await orders.find_by_reference(db, entry.source, news.ref)
        if order is None:
            await self._leave_unmatched(entry, news, "no such order is known")
            return
        if not connected.provider.can_fetch:
            if news.failure is not None:
                await self._fail_order(entry, order, news.failure)
                return
            detail = "the provider has no credentials, so the order's eSIMs cannot be fetched"
            await self._leave_unmatched(entry, news, detail)
            return
        order_no = order.order_no or news.ref.order_no
        try:
            snapshots = await connected.provider.fetch(Lookup(order_no=order_no))
        except (ProviderRefused, StillAllocating) as error:
            failure = str(error) if isinstance(error, OrderFailed) else news.failure
            if failure is not None:
                await self._fail_order(entry, order, failure)
            elif isinstance(error, ProviderRefused):
                await self._settle(entry, UpdateOutcome.INVALID, f"the provider refused: {error}")
            else:
                raise
            return
        async with self._database.transaction() as db:
            if order.order_no is None and order_no is not None:
                await orders.set_order_no(db, order.id, order_no, first_poll_in_s=ORDER_POLL_FIRST_S)
            taken = await fill(db, order, snapshots, self._policy, entry=entry)
        self._wakes.notify(taken)

    async def _fail_order(self, entry: JournalEntry, order: Order, reason: str) -> None:
        async with self._database.transaction() as db:
            taken = await fail(db, order, reason, self._policy, now=self._clock(), entry=entry)
        self._wakes.notify(taken)

    async def _apply(self, entry: JournalEntry, scope: Scope, updates: Sequence[Update]) -> None:
        places: tuple[int, ...] = ()
        if len(entry.results) == len(updates):  # of several, only those that found no eSIM are looked at again
            places = tuple(place for place, one in enumerate(entry.results) if one.outcome in AGAIN)
        fetched = any(update.authoritative for update in updates)
        item = Item(
            scope=scope,
            updates=tuple(updates[place] for place in places or range(len(updates))),
            places=places,
            entry=entry,
            journaled=True,
            creates=scope.tenant is not None,
            arrived_at=None if fetched else entry.received_at,
        )
        async with self._database.transaction() as db:
            taken = await take_in(db, [item], self._policy)
        self._wakes.notify(taken)

    async def _settle(self, entry: JournalEntry, outcome: UpdateOutcome, detail: str | None) -> None:
        settled = replace(entry, outcome=outcome, detail=detail)
        item = Item(scope=Scope(provider=entry.source), entry=settled, journaled=True)
        async with self._database.transaction() as db:
            await take_in(db, [item], self._policy)

    async def _leave_unmatched(self, entry: JournalEntry, news: OrderNews, detail: str) -> None:
        settled = replace(entry, outcome=UpdateOutcome.UNMATCHED, detail=detail)
        identity = Identity(order_no=news.ref.order_no, transaction_id=news.ref.transaction_id)
        item = Item(scope=Scope(provider=entry.source), entry=settled, journaled=True, waits_for=identity)
        async with self._database.transaction() as db:
            await take_in(db, [item], self._policy)


def _is_same_esim(reported: Identity, wanted: Identity) -> bool:
    if wanted.esim_tran_no is not None:
        return reported.esim_tran_no == wanted.esim_tran_no
    return wanted.iccid is None or reported.iccid == wanted.iccid
