"""Inbound: what comes in is verified, parsed and taken in before anybody is answered.

Raw requests of providers and updates of operators come in; those that come at the same time share a commit. Where the
provider must be asked first, the journal row is committed alone and the backlog works it off.
"""

import asyncio
from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Conflicting
from esimhooks.server.domain.event import OperationalType
from esimhooks.server.domain.ids import Prefix, new_id, text_of, text_or_none
from esimhooks.server.domain.notification import InboundRequest, JournalEntry, Notification
from esimhooks.server.domain.transition import TERMINAL
from esimhooks.server.domain.update import Identity
from esimhooks.server.ingest import deduplication
from esimhooks.server.ingest.batch import Item, Results, Taken, summed_up, take_in
from esimhooks.server.ingest.hand_over import Lanes
from esimhooks.server.ingest.operator_updates import OperatorUpdate, checked, read_update
from esimhooks.server.ingest.provider_clients import ProviderClient, ProviderClients
from esimhooks.server.observe import metrics, tracing
from esimhooks.server.observe.log import get_logger
from esimhooks.server.providers.port import Reply, Unparsable
from esimhooks.server.runtime.group_commit import GroupCommit
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.intake import Scope
from esimhooks.server.store.journal import UPDATES_SOURCE

NEVER_JOURNALED = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
"""Headers that carry credentials, whoever sends them."""
LEFT_OUT = "***"
MAX_UPDATES_A_COMMIT = 100
"""A request with more updates is cut: what others send meanwhile is not to wait for all of them."""

log = get_logger("intake")


class Wakes(Struct, frozen=True, kw_only=True):
    """Whom to wake after a commit that gave them work."""

    due: Wake
    backlog: Wake
    fan_out: Wake
    doubts: Wake
    streams: Wake

    def notify(self, taken: Taken) -> None:
        """Wake whoever has work now; nobody needs to look for what is handed over."""
        if taken.deliveries > len(taken.handed):
            self.due.notify()
        elif taken.handed:
            self.streams.notify()
        if taken.backlog:
            self.backlog.notify()
        if taken.fan_outs:
            self.fan_out.notify()
        if taken.doubts:
            self.doubts.notify()


class Receipt(Struct, frozen=True):
    """What became of a provider's request, and how the provider wants to be answered."""

    results: Results
    reply: Reply


class Intake:
    """Accepts notifications and updates; `wakes` are notified after each commit, `lanes` are handed what they can take."""

    def __init__(
        self,
        database: Database,
        connected: ProviderClients,
        *,
        policy: EmitPolicy,
        wakes: Wakes,
        lanes: Lanes | None,
    ) -> None:
        self._database = database
        self._connected = connected
        self._policy = policy
        self._wakes = wakes
        self._lanes = lanes
        self.commits = GroupCommit[Sequence[Item], Sequence[Results]](self._commit, weight_of=len)

    async def accept(self, name: str, token: str, request: InboundRequest) -> Receipt:
        """Take in one request of a provider; returns after the commit.

        Raises `Refused` (401) where the address or the origin is not proven, `NotNow` where it could not be committed.
        """
        connected = await self._connected.authenticated(name, token)
        request = replace(request, proven=connected.provider.verify(request))
        item, low_balance = _notified(connected, request)
        [results] = await self._submit([replace(item, traceparent=tracing.present())], owner=name)
        if low_balance is not None:
            await self._connected.begin_trouble(name, OperationalType.PROVIDER_BALANCE, low_balance)
        return Receipt(results, connected.provider.reply(request))

    async def accept_updates(
        self, raw: Sequence[bytes], request: InboundRequest, *, tenant: Tenant | None, db: Session | None = None
    ) -> Sequence[Results]:
        """Take in the operator's updates, JSON each; returns after the commit, one result each in their order.

        `tenant` says whose eSIMs they are where an update itself does not. With `db` they are taken in within that
        transaction, and committed by who has opened it. Raises `NotNow` where they could not be
        committed; those of a large request that were committed before are found again as repetitions.
        """
        traceparent = tracing.present()
        journaled = without_credentials(request)
        read = [await checked(read_update(one, tenant=tenant), self._connected) for one in raw]
        items = [_handed_in(one, journaled) for one in read]
        items = [replace(item, traceparent=traceparent) for item in items] if traceparent else items
        if db is not None:
            return await self._take_in(db, items)
        results: list[Results] = []
        for first in range(0, len(items), MAX_UPDATES_A_COMMIT):
            piece = items[first : first + MAX_UPDATES_A_COMMIT]
            results += await self._submit(piece, owner=piece[0].scope.tenant or UPDATES_SOURCE)
        return results

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
            results = await self._committed(items)
        metrics.committed("intake", len(items))
        remaining = iter(results)
        return [[next(remaining) for _ in request] for request in requests]

    async def _committed(self, items: Sequence[Item]) -> Sequence[Results]:
        try:
            async with self._database.transaction() as db:
                return await self._take_in(db, items, lanes=self._lanes)
        except Conflicting:
            raise
        except BaseException:
            if self._lanes is not None:
                self._lanes.doubt()
            raise

    async def _take_in(self, db: Session, items: Sequence[Item], *, lanes: Lanes | None = None) -> Sequence[Results]:
        taken = await take_in(db, items, self._policy, lanes=lanes)
        db.after_commit(lambda: self._report(items, taken))
        return taken.results

    def _report(self, items: Sequence[Item], taken: Taken) -> None:
        if self._lanes is not None and taken.handed:
            self._lanes.hand_over(taken.handed)
        for item, results in zip(items, taken.results, strict=True):
            _log(item, results)
        self._wakes.notify(taken)


def _notified(connected: ProviderClient, request: InboundRequest) -> tuple[Item, str | None]:
    """Return what is taken in, and what the notification says of a balance that is low."""
    name = connected.stored.name
    journaled = without_credentials(request, connected.stored.credentials.values())
    entry = JournalEntry(id=new_id(), source=name, request=journaled, outcome=UpdateOutcome.IGNORED)
    try:
        notification = connected.provider.parse(request)
    except Unparsable as error:
        invalid = replace(entry, outcome=UpdateOutcome.INVALID, detail=str(error))
        return Item(scope=Scope(provider=name), entry=invalid, doubts=error.doubts), None
    waits = must_ask(connected, notification, proven=request.proven)
    repetition = deduplication.of_notification(name, notification, request.body or request.query.encode())
    item = Item(
        scope=Scope(provider=name),
        updates=() if waits else notification.updates,
        entry=replace(entry, kind=notification.kind),
        waits=waits,
        asked_about=_meant(notification) if waits else (),
        repetition=repetition if waits or notification.updates else None,
        doubts=notification.doubts,
    )
    return item, notification.low_balance


def _meant(notification: Notification) -> tuple[Identity, ...]:
    """Return whom a notification speaks of."""
    meant = tuple(update.identity for update in notification.updates)
    if notification.order is None:
        return meant
    ref = notification.order.ref
    return (*meant, Identity(order_no=ref.order_no, transaction_id=ref.transaction_id))


def _handed_in(handed: OperatorUpdate, request: InboundRequest) -> Item:
    entry = JournalEntry(
        id=new_id(),
        source=UPDATES_SOURCE,
        tenant=handed.tenant,
        request=replace(request, body=handed.raw),
        kind="update",
        outcome=UpdateOutcome.INVALID,
        detail=handed.wrong,
    )
    scope = Scope(tenant=handed.tenant, provider=handed.provider)
    if handed.update is None:
        return Item(scope=scope, entry=entry)
    return Item(
        scope=scope,
        updates=(handed.update,),
        entry=entry,
        repetition=deduplication.of_update(UPDATES_SOURCE, handed.update, handed.tenant, handed.raw),
        creates=handed.tenant is not None,
        doubts=handed.doubts,
    )


def without_credentials(request: InboundRequest, credentials: Collection[str] = ()) -> InboundRequest:
    """Return a request as the journal keeps it: without headers that carry credentials, whatever they are called.

    `credentials` are those of the provider. Its body is kept as it came, encrypted.
    """
    headers = {
        name: value
        for name, value in request.headers.items()
        if name not in NEVER_JOURNALED and not any(one in value for one in credentials if one)
    }
    query = request.query
    for one in credentials:
        query = query.replace(one, LEFT_OUT) if one else query
    return replace(request, headers=headers, query=query)


def must_ask(connected: ProviderClient, notification: Notification, *, proven: bool) -> bool:
    """Whether the provider must be asked before the notification may change anything.

    A ready order says nothing of its eSIMs. Notifications that do not prove their sender are not believed where it
    matters, if credentials to ask are configured (providers, "Inbound").
    """
    if notification.order is not None:
        return True
    provider = connected.provider
    can_confirm = provider.can_fetch if provider.can_confirm is None else provider.can_confirm
    if proven or not can_confirm or connected.confirm == "never":
        return False
    statuses = {update.esim_status for update in notification.updates}
    return bool(notification.updates) if connected.confirm == "always" else bool(statuses & TERMINAL)


def _log(item: Item, results: Results) -> None:
    if item.entry is None:
        return
    summary = summed_up(results)
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
