"""What a waiting notification's provider is queried for: confirmations of unsigned news, and the eSIMs of orders.

A journal entry, its provider and what it says come in; the provider's answer is applied in a transaction of its own. When to query
is decided by the backlog.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.notification import JournalEntry, Notification, OrderUpdate
from esimhooks.server.domain.order import Order
from esimhooks.server.domain.schedule import ORDER_POLL_FIRST_S
from esimhooks.server.domain.update import Doubt, Identity, Update
from esimhooks.server.ingest.batch import Item, apply_batch
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.ingest.orders import fail, fill, has_failed, refund, refunded
from esimhooks.server.ingest.provider_clients import ProviderClient
from esimhooks.server.providers.port import Lookup, OrderUnknown, ProviderRefused, StillAllocating
from esimhooks.server.store import orders
from esimhooks.server.store.batch_reads import Scope
from esimhooks.server.store.database import Database


class ProviderQueries:
    """Queries the provider of one notification at a time. `wakes` are notified after each commit."""

    def __init__(self, database: Database, *, policy: EmitPolicy, clock: Clock, wakes: Wakes) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._wakes = wakes

    async def query(self, entry: JournalEntry, client: ProviderClient, notification: Notification) -> None:
        """Query the provider and apply its answer. Raises where it may be had later."""
        if notification.order is not None:
            await self._work_on_order(entry, client, notification.order)
            return
        try:
            updates, doubts = await self._confirm(client, notification.updates)
        except ProviderRefused as error:
            await self._apply_batch(conclude(entry, UpdateOutcome.INVALID, f"not confirmed by the provider: {error}"))
            return
        scope = Scope(provider=entry.source)
        await self._apply_batch(
            Item(scope=scope, updates=tuple(updates), entry=entry, journaled=True, doubts=tuple(doubts))
        )

    async def _confirm(
        self, client: ProviderClient, updates: Sequence[Update]
    ) -> tuple[Sequence[Update], Sequence[Doubt]]:
        """Return what the provider itself says of the eSIMs that an unsigned notification speaks of.

        Of several, one that it does not know is a doubt. Raises `ProviderRefused` where it knows none.
        """
        confirmed: list[Update] = []
        doubts: list[Doubt] = []
        for update in updates:
            identity = update.identity
            lookup = Lookup(
                esim_tran_no=identity.esim_tran_no,
                order_no=None if identity.esim_tran_no else identity.order_no,
            )
            fetched = await client.provider.fetch(lookup)
            own = [
                replace(one, reason=one.reason or update.reason)
                for one in fetched
                if _is_same_esim(one.identity, identity)
            ]
            confirmed += own
            if not own:
                doubts.append(Doubt("esimTranNo", "not confirmed by the provider: it knows no such eSIM"))
        if not confirmed:
            raise ProviderRefused("it knows no such eSIM")
        return confirmed, doubts

    async def _work_on_order(self, entry: JournalEntry, client: ProviderClient, order_update: OrderUpdate) -> None:
        async with self._database.session() as db:
            order = await orders.find_by_reference(db, entry.source, order_update.ref)
            tops_up = order is None and await orders.poll_top_up_now(db, entry.source, order_update.ref)
        if order is None:
            about_top_up = conclude(entry, UpdateOutcome.IGNORED, "a top-up: its eSIM is queried now")
            await self._apply_batch(
                about_top_up if tops_up else _leave_unmatched(entry, order_update, "no such order is known")
            )
            return
        if not client.provider.can_fetch:
            if order_update.refunded or order_update.failure is not None:
                await self._end_order(entry, order, order_update)
                return
            detail = "the provider has no credentials, so the order's eSIMs cannot be fetched"
            await self._apply_batch(_leave_unmatched(entry, order_update, detail))
            return
        order_no = order.order_no or order_update.ref.order_no
        try:
            snapshots = await client.provider.fetch(Lookup(order_no=order_no))
        except (ProviderRefused, StillAllocating) as error:
            await self._without_snapshots(entry, order, order_update, error)
            return
        if order_update.refunded:
            snapshots = refunded(snapshots)
        async with self._database.transaction() as db:
            if order.order_no is None and order_no is not None:
                await orders.set_order_no(db, order.id, order_no, first_poll_in_s=ORDER_POLL_FIRST_S)
            applied = await fill(db, order, snapshots, self._policy, entry=entry)
        self._wakes.notify(applied)

    async def _without_snapshots(
        self, entry: JournalEntry, order: Order, order_update: OrderUpdate, error: ProviderRefused | StillAllocating
    ) -> None:
        """The provider does not say what the order's eSIMs are. Raises where it may later."""
        if not order_update.refunded and has_failed(order, error, now=self._clock()):
            await self._end_order(entry, order, replace(order_update, failure=str(error)))
        elif order_update.refunded or order_update.failure is not None:
            await self._end_order(entry, order, order_update)
        elif isinstance(error, OrderUnknown):
            raise StillAllocating(str(error), retry_after_s=ORDER_POLL_FIRST_S) from error
        elif isinstance(error, ProviderRefused):
            await self._apply_batch(conclude(entry, UpdateOutcome.INVALID, f"the provider refused: {error}"))
        else:
            raise error

    async def _end_order(self, entry: JournalEntry, order: Order, order_update: OrderUpdate) -> None:
        """The order was refunded, or failed for good."""
        async with self._database.transaction() as db:
            if order_update.refunded:
                applied = await refund(db, order, self._policy, entry=entry)
            else:
                reason = order_update.failure or "the order failed"
                applied = await fail(db, order, reason, self._policy, entry=entry)
        self._wakes.notify(applied)

    async def _apply_batch(self, item: Item) -> None:
        async with self._database.transaction() as db:
            applied = await apply_batch(db, [item], self._policy)
        self._wakes.notify(applied)


def conclude(entry: JournalEntry, outcome: UpdateOutcome, detail: str | None) -> Item:
    """Return a journaled notification from which nothing follows, with what became of it."""
    concluded = replace(entry, outcome=outcome, detail=detail)
    return Item(scope=Scope(provider=entry.source), entry=concluded, journaled=True)


def _leave_unmatched(entry: JournalEntry, order_update: OrderUpdate, detail: str) -> Item:
    identity = Identity(order_no=order_update.ref.order_no, transaction_id=order_update.ref.transaction_id)
    return replace(conclude(entry, UpdateOutcome.UNMATCHED, detail), waits_for=identity)


def _is_same_esim(reported: Identity, wanted: Identity) -> bool:
    if wanted.esim_tran_no is not None:
        return reported.esim_tran_no == wanted.esim_tran_no
    return wanted.iccid is None or reported.iccid == wanted.iccid
