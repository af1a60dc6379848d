"""Inbound: what comes in is verified, parsed and committed before anybody is answered.

Raw requests of providers and updates of operators come in; those that come at the same time share a commit. Where the
provider must be queried first, the journal row is committed alone and the backlog works it off; so it is with all that comes
under load, and with updates whose outcome is not waited for.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.change import UpdateOutcome, UpdateResult
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Conflicting
from esimhooks.server.domain.event import OperationalType
from esimhooks.server.domain.ids import Prefix, text_of, text_or_none
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.ingest.batch import BatchResult, Item, Results, apply_batch, summarize
from esimhooks.server.ingest.hand_over import Lanes
from esimhooks.server.ingest.operator_updates import read_update
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.ingest.reading import item_from_notification, item_from_update, without_credentials
from esimhooks.server.ingest.store_first import StoreFirst
from esimhooks.server.observe import metrics, tracing
from esimhooks.server.observe.log import get_logger
from esimhooks.server.providers.port import Reply
from esimhooks.server.runtime.group_commit import GroupCommit
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.journal import UPDATES_SOURCE

MAX_UPDATES_PER_COMMIT = 100
"""A request with more updates is cut: what others send meanwhile is not to wait for all of them."""
STORED = (UpdateResult(outcome=UpdateOutcome.WAITING),)
"""What is known of a notification that is stored and not yet applied."""

log = get_logger("intake")


class Wakes(Struct, frozen=True, kw_only=True):
    """Whom to wake after a commit that gave them work."""

    due: Wake
    backlog: Wake
    fan_out: Wake
    doubts: Wake
    streams: Wake

    def notify(self, applied: BatchResult) -> None:
        """Wake the loops that have work now; none is needed for what is handed over."""
        if applied.deliveries > len(applied.direct):
            self.due.notify()
        elif applied.direct:
            self.streams.notify()
        if applied.backlog:
            self.backlog.notify()
        if applied.fan_outs:
            self.fan_out.notify()
        if applied.doubts:
            self.doubts.notify()


class Receipt(Struct, frozen=True):
    """What became of a provider's request, and how the provider wants to be answered."""

    results: Results
    reply: Reply


class Intake:
    """Accepts notifications and updates; `wakes` are notified after each commit, `lanes` get what they have capacity for."""

    def __init__(
        self,
        database: Database,
        clients: ProviderClients,
        *,
        policy: EmitPolicy,
        wakes: Wakes,
        lanes: Lanes | None,
        store_first: StoreFirst,
    ) -> None:
        self._database = database
        self._clients = clients
        self._policy = policy
        self._wakes = wakes
        self._lanes = lanes
        self._store_first = store_first
        self.commits = GroupCommit[Sequence[Item], Sequence[Results]](self._commit, weight_of=len)

    async def accept(self, name: str, token: str, request: InboundRequest) -> Receipt:
        """Take in one request of a provider; returns after the commit.

        Raises `Refused` (401) where the address or the origin is not proven, `NotNow` where it could not be committed.
        """
        client = await self._clients.authenticate(name, token)
        request = replace(request, proven=client.provider.verify(request))
        item, low_balance = item_from_notification(client, request)
        results = await self._ingest_notification(name, replace(item, traceparent=tracing.present()))
        if low_balance is not None:
            await self._clients.begin_trouble(name, OperationalType.PROVIDER_BALANCE, low_balance)
        return Receipt(results, client.provider.reply(request))

    async def accept_updates(
        self, raw: Sequence[bytes], request: InboundRequest, *, tenant: Tenant | None, db: Session | None = None
    ) -> Sequence[Results]:
        """Take in the operator's updates, JSON each; returns after the commit, one result each in their order.

        `tenant` says whose eSIMs they are where an update itself does not. With `db` they are taken in within that
        transaction, and committed by the caller. Raises `NotNow` where they could not be
        committed; those of a large request that were committed before are found again as repetitions.
        """
        traceparent = tracing.present()
        items = await self._read_updates(raw, request, tenant)
        items = [replace(item, traceparent=traceparent) for item in items] if traceparent else items
        if db is not None:
            return await self._apply_batch(db, items)
        results: list[Results] = []
        for first in range(0, len(items), MAX_UPDATES_PER_COMMIT):
            piece = items[first : first + MAX_UPDATES_PER_COMMIT]
            results += await self._submit(piece, owner=piece[0].scope.tenant or UPDATES_SOURCE)
        return results

    async def store_updates(
        self, raw: Sequence[bytes], request: InboundRequest, *, tenant: Tenant | None, db: Session | None = None
    ) -> Sequence[UUID]:
        """Store the operator's updates and return the ids of their notifications, whose outcome is known later.

        Otherwise as `accept_updates`, but that all are committed together.
        """
        items = await self._read_updates(raw, request, tenant)
        await self._store_first.store(items, owner=tenant or UPDATES_SOURCE, db=db)
        return [item.entry.id for item in items if item.entry is not None]

    async def _read_updates(
        self, raw: Sequence[bytes], request: InboundRequest, tenant: Tenant | None
    ) -> Sequence[Item]:
        journaled = without_credentials(request)
        return [item_from_update(await read_update(one, self._clients, tenant=tenant), journaled) for one in raw]

    async def _ingest_notification(self, name: str, item: Item) -> Results:
        """Apply a provider's notification, or store it first where that is called for."""
        if item.repetition is None:  # it changes nothing
            [results] = await self._submit([item], owner=name)
            return results
        if not self._store_first.is_active(name, waiting=self.commits.waiting):
            [results] = await self._submit([item], owner=name)
            if results:
                return results
            self._store_first.activate(name)
        await self._store_first.store([item], owner=name)
        return STORED

    async def _submit(self, items: Sequence[Item], *, owner: object) -> Sequence[Results]:
        """Commit the items with what others send; where one of them cannot be, the others are all the same."""
        try:
            return await self.commits.submit(items, owner=owner)
        except Conflicting:
            if len(items) == 1:
                raise
        alone = await asyncio.gather(
            *(self.commits.submit([item], owner=owner) for item in items), return_exceptions=True
        )
        for outcome in alone:
            if isinstance(outcome, BaseException):
                raise outcome
        return [results for outcome in alone if not isinstance(outcome, BaseException) for results in outcome]

    async def _commit(self, requests: Sequence[Sequence[Item]]) -> Sequence[Sequence[Results]]:
        items = [item for request in requests for item in request]
        links = list(dict.fromkeys(item.traceparent for item in items))
        with tracing.span("commit intake", links=links, attributes={"messaging.batch.message_count": len(items)}):
            results = await self._apply_in_transaction(items)
        metrics.batch_committed("intake", len(items))
        remaining = iter(results)
        return [[next(remaining) for _ in request] for request in requests]

    async def _apply_in_transaction(self, items: Sequence[Item]) -> Sequence[Results]:
        try:
            async with self._database.transaction() as db:
                return await self._apply_batch(db, items, lanes=self._lanes)
        except Conflicting:
            raise
        except BaseException:
            if self._lanes is not None:
                self._lanes.invalidate_leases()
            raise

    async def _apply_batch(
        self, db: Session, items: Sequence[Item], *, lanes: Lanes | None = None
    ) -> Sequence[Results]:
        applied = await apply_batch(db, items, self._policy, lanes=lanes)
        db.after_commit(lambda: self._report(items, applied))
        return applied.results

    def _report(self, items: Sequence[Item], applied: BatchResult) -> None:
        if self._lanes is not None and applied.direct:
            self._lanes.hand_over(applied.direct)
        for item, results in zip(items, applied.results, strict=True):
            report(item, results)
        self._wakes.notify(applied)


def report(item: Item, results: Results) -> None:
    """Log and count what became of a notification or update."""
    if item.entry is None or not results:
        return
    summary = summarize(results)
    metrics.notification(item.entry.source, summary.outcome)
    log.info(
        "notification.taken_in",
        source=item.entry.source,
        notification_id=text_of(Prefix.NOTIFICATION, item.entry.id),
        kind=item.entry.kind,
        outcome=summary.outcome.value,
        esim_id=text_or_none(Prefix.ESIM, summary.esim_id),
        events=len(summary.event_ids),
    )
