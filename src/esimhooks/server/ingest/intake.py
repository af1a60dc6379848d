"""Intake: what comes in is journaled, seen once and absorbed, in one transaction, before anybody is answered.

A provider's request comes in raw and is verified and parsed here; the operator's updates come in parsed. Where the
provider must be asked before anything may change, the journal entry is committed alone and the backlog works it off.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, new_id, text_of, text_or_none
from esimhooks.server.domain.notification import InboundRequest, JournalEntry, Notification
from esimhooks.server.domain.transition import TERMINAL
from esimhooks.server.domain.update import Update
from esimhooks.server.ingest.absorb import Absorbed, Entry, absorb
from esimhooks.server.ingest.operator_updates import HandedIn, read_update
from esimhooks.server.ingest.provider_clients import Connected, ConnectedProviders
from esimhooks.server.observe import metrics, tracing
from esimhooks.server.observe.log import get_logger
from esimhooks.server.providers.port import Unparsable
from esimhooks.server.runtime.group_commit import GroupCommit
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import accounts, journal
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.esims import Scope
from esimhooks.server.store.journal import Seen

log = get_logger("intake")


class Arrival(Struct, frozen=True, kw_only=True):
    """One notification on its way into the journal.

    `update` is None where nothing can be absorbed (yet): it is invalid, of no consequence, or waits for its provider;
    `entry.outcome` then says which, and is overwritten otherwise.
    """

    entry: JournalEntry
    update: Update | None = None
    seen: Seen | None = None
    creates: bool = False
    traceparent: str | None = None
    """The span of the request; the commit is another task's."""

    @property
    def scope(self) -> Scope:
        """Among whose eSIMs the update belongs."""
        handed_in = self.entry.source == journal.UPDATES_SOURCE
        return Scope(tenant=self.entry.tenant, provider=None if handed_in else self.entry.source)


class Receipt(Struct, frozen=True):
    """What became of a provider's request, and whether the provider wants to be answered without a body."""

    absorbed: Absorbed
    empty: bool


class Intake:
    """Accepts notifications and updates. `due` and `backlog` are notified after a commit that gave them work."""

    def __init__(
        self,
        database: Database,
        connected: ConnectedProviders,
        *,
        policy: EmitPolicy,
        clock: Clock,
        due: Wake,
        backlog: Wake,
    ) -> None:
        self._database = database
        self._connected = connected
        self._policy = policy
        self._clock = clock
        self._due = due
        self._backlog = backlog
        self.commits = GroupCommit[Sequence[Arrival], Sequence[Absorbed]](self._commit)

    async def accept(self, name: str, token: str, request: InboundRequest) -> Receipt:
        """Take in one request of a provider; returns after the commit.

        Raises `Refused` (401) where the address or the origin is not proven, `NotNow` where it could not be committed.
        """
        connected = await self._connected.authenticated(name, token)
        connected.provider.verify(request)
        arrival = replace(self._arrival(connected, request), traceparent=tracing.present())
        [absorbed] = await self.commits.submit([arrival])
        return Receipt(absorbed, empty=connected.provider.answers_empty)

    async def accept_updates(
        self, raw: Sequence[bytes], request: InboundRequest, *, tenant: Tenant | None, db: Session | None = None
    ) -> Sequence[Absorbed]:
        """Take in the operator's updates, JSON each; returns after the commit, one result each in their order.

        `tenant` says whose eSIMs they are where an update itself does not. With `db` they are taken in within that
        transaction, and committed by who has opened it. Raises `NotNow` where they could not be
        committed.
        """
        traceparent = tracing.present()
        handed_in = [self._handed_in(read_update(one, tenant=tenant), request) for one in raw]
        arrivals = [replace(arrival, traceparent=traceparent) for arrival in handed_in] if traceparent else handed_in
        if db is not None:
            return await self._take_in(db, arrivals)
        return await self.commits.submit(arrivals)

    def _arrival(self, connected: Connected, request: InboundRequest) -> Arrival:
        entry = JournalEntry(
            id=new_id(),
            source=connected.stored.name,
            received_at=self._clock(),
            request=request,
            outcome=UpdateOutcome.IGNORED,
        )
        try:
            notification = connected.provider.parse(request)
        except Unparsable as error:
            return Arrival(entry=replace(entry, outcome=UpdateOutcome.INVALID, detail=str(error)))
        entry = replace(entry, kind=notification.kind, detail="; ".join(notification.warnings) or None)
        seen = _seen(entry, notification)
        if must_ask(connected, notification):
            return Arrival(entry=replace(entry, outcome=UpdateOutcome.WAITING), seen=seen)
        update = notification.updates[0] if notification.updates else None
        return Arrival(entry=entry, update=update, seen=seen if update else None)

    def _handed_in(self, handed: HandedIn, request: InboundRequest) -> Arrival:
        entry = JournalEntry(
            id=new_id(),
            source=journal.UPDATES_SOURCE,
            tenant=handed.tenant,
            received_at=self._clock(),
            request=replace(request, body=handed.raw),
            kind="update",
            outcome=UpdateOutcome.INVALID,
            detail=handed.wrong or "; ".join(handed.doubts) or None,
        )
        if handed.update is None:
            return Arrival(entry=entry)
        digest = hashlib.sha256(msgspec.json.encode((handed.tenant, handed.update))).digest()
        seen = Seen(source=entry.source, digest=digest, content=digest, notification_id=entry.id)
        return Arrival(entry=entry, update=handed.update, seen=seen, creates=handed.tenant is not None)

    async def _commit(self, requests: Sequence[Sequence[Arrival]]) -> Sequence[Sequence[Absorbed]]:
        arrivals = [arrival for request in requests for arrival in request]
        links = list(dict.fromkeys(arrival.traceparent for arrival in arrivals))
        with tracing.span("commit intake", links=links, attributes={"messaging.batch.message_count": len(arrivals)}):
            async with self._database.transaction() as db:
                results = await self._take_in(db, arrivals)
        remaining = iter(results)
        return [[next(remaining) for _ in request] for request in requests]

    async def _take_in(self, db: Session, arrivals: Sequence[Arrival]) -> Sequence[Absorbed]:
        results = await take_in(db, arrivals, self._policy, now=self._clock())
        db.after_commit(lambda: self._tell(arrivals, results))
        return results

    def _tell(self, arrivals: Sequence[Arrival], results: Sequence[Absorbed]) -> None:
        metrics.committed("intake", len(arrivals))
        for arrival, result in zip(arrivals, results, strict=True):
            metrics.notification(arrival.entry.source, result.outcome)
            _log(arrival, result)
        if any(result.event_ids for result in results):
            self._due.notify()
        # An eSIM that has become known may have woken notifications that matched nothing before.
        self._backlog.notify()


async def take_in(db: Session, arrivals: Sequence[Arrival], policy: EmitPolicy, *, now: datetime) -> list[Absorbed]:
    """Journal the arrivals and absorb those that are new and need no answer of their provider; in a transaction."""
    arrivals = await _of_known_accounts(db, arrivals)
    first = await journal.first_seen(db, [one.seen for one in arrivals if one.seen is not None], now=now)
    results = [_repetition(arrival, first) or _unabsorbed(arrival.entry) for arrival in arrivals]
    fresh = [
        place
        for place, arrival in enumerate(arrivals)
        if arrival.update is not None and results[place].outcome is not UpdateOutcome.DUPLICATE
    ]
    absorbed = await absorb(db, [_entry(arrivals[place]) for place in fresh], policy, now=now)
    for place, result in zip(fresh, absorbed, strict=True):
        results[place] = result
    settled = list(zip(arrivals, results, strict=True))
    await journal.insert(db, [_settled(arrival.entry, result) for arrival, result in settled])
    await journal.remember_unmatched(
        db,
        [
            (arrival.entry.id, arrival.entry.source, arrival.update.identity)
            for arrival, result in settled
            if result.outcome is UpdateOutcome.UNMATCHED and arrival.update is not None
        ],
    )
    await journal.add_to_backlog(
        db,
        [
            (arrival.entry.id, arrival.entry.source)
            for arrival, result in settled
            if result.outcome is UpdateOutcome.WAITING
        ],
    )
    return results


async def _of_known_accounts(db: Session, arrivals: Sequence[Arrival]) -> Sequence[Arrival]:
    named = {arrival.entry.tenant.account_id for arrival in arrivals if arrival.entry.tenant is not None}
    strangers = named - await accounts.existing(db, named) if named else set()
    return [
        Arrival(entry=replace(arrival.entry, outcome=UpdateOutcome.INVALID, detail="there is no such account"))
        if arrival.entry.tenant is not None and arrival.entry.tenant.account_id in strangers
        else arrival
        for arrival in arrivals
    ]


def _log(arrival: Arrival, result: Absorbed) -> None:
    entry = arrival.entry
    log.info(
        "notification.taken_in",
        source=entry.source,
        notification_id=text_of(Prefix.NOTIFICATION, entry.id),
        kind=entry.kind,
        outcome=result.outcome.value,
        esim_id=text_or_none(Prefix.ESIM, result.esim_id),
        events=len(result.event_ids),
    )


def must_ask(connected: Connected, notification: Notification) -> bool:
    """Whether the provider must be asked before the notification may change anything.

    A ready order tells nothing of its eSIMs. Unsigned notifications are not believed where it matters, if credentials
    to ask are configured (providers, "Inbound").
    """
    if notification.order_ready is not None:
        return True
    provider = connected.provider
    if provider.signed or not provider.can_fetch or connected.confirm == "never":
        return False
    statuses = {update.esim_status for update in notification.updates}
    return bool(notification.updates) if connected.confirm == "always" else bool(statuses & TERMINAL)


def _seen(entry: JournalEntry, notification: Notification) -> Seen:
    """The provider's own id, else a hash of source, type, identity, time and content."""
    content = hashlib.sha256(
        msgspec.json.encode((notification.kind, notification.updates, notification.order_ready))
    ).digest()
    own = notification.own_id
    digest = content if own is None else hashlib.sha256(f"{notification.kind} {own}".encode()).digest()
    return Seen(source=entry.source, digest=digest, content=content, notification_id=entry.id)


def _repetition(arrival: Arrival, first: dict[bytes, Seen]) -> Absorbed | None:
    if arrival.seen is None:
        return None
    earlier = first[arrival.seen.digest]
    if earlier.notification_id == arrival.seen.notification_id:
        return None
    conflict = earlier.content != arrival.seen.content
    detail = "the same id came before with other content; the first is kept" if conflict else None
    return Absorbed(outcome=UpdateOutcome.DUPLICATE, detail=detail)


def _unabsorbed(entry: JournalEntry) -> Absorbed:
    """What there is to say where nothing is absorbed; whoever sent what is invalid is told what is wrong."""
    return Absorbed(outcome=entry.outcome, detail=entry.detail if entry.outcome is UpdateOutcome.INVALID else None)


def _entry(arrival: Arrival) -> Entry:
    if arrival.update is None:
        raise ValueError("only arrivals with an update are absorbed")
    return Entry(
        update=arrival.update,
        scope=arrival.scope,
        received_at=arrival.entry.received_at,
        notification_id=arrival.entry.id,
        creates=arrival.creates,
        traceparent=arrival.traceparent,
    )


def _settled(entry: JournalEntry, result: Absorbed) -> JournalEntry:
    details = dict.fromkeys(detail for detail in (result.detail, entry.detail) if detail)
    return replace(entry, outcome=result.outcome, esim_id=result.esim_id, detail="; ".join(details) or None)
