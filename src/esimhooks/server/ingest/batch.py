"""A batch is a sequence: items are applied one after the other, whatever request or commit they came in.

Items come in, results go out in their order; all that follows (eSIMs, events, deliveries, journal) is written in the
caller's transaction: one statement reads, one writes. Every source takes this way: notifications, the operator's updates,
answers of providers, replay, and the clock.
"""

import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.change import UpdateOutcome, UpdateResult
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.errors import Conflicting
from esimhooks.server.domain.ids import Prefix, id_or_none
from esimhooks.server.domain.notification import JournalEntry
from esimhooks.server.domain.update import Doubt, Identity, Update
from esimhooks.server.ingest.applying import Applying, Source
from esimhooks.server.ingest.deduplication import Repetition, Repetitions
from esimhooks.server.ingest.directory import may_be
from esimhooks.server.ingest.hand_over import DirectDelivery, Lanes, direct_deliveries, offer
from esimhooks.server.observe import metrics, tracing
from esimhooks.server.store import batch_reads, batch_writes, freezing, queue
from esimhooks.server.store.batch_reads import Known, LookupKeys, Scope, Unreadable
from esimhooks.server.store.batch_writes import JournalUpdate, Unmatched, Writes
from esimhooks.server.store.database import Session
from esimhooks.server.store.freezing import MOVING
from esimhooks.server.store.journal import UPDATES_SOURCE

CREATION_LOCKS = 1024

Results = tuple[UpdateResult, ...]
"""What became of each update of an item; nothing where it was left for others, stored first, to be applied before it."""


class Item(Struct, frozen=True, kw_only=True):
    """What belongs together: the updates of one notification, one update of an operator, an answer of a provider.

    `entry` is its row in the journal, new or (`journaled`) to be updated; None where there is none, as for polls.
    `esim_ids` names the eSIM of each update, where it is known already; `order_id` the order whose slots they may take.
    `indices` are those of the updates among all of the notification, where only some are taken in again.
    `creates` lets an unknown eSIM be created for the scope's tenant. `arrived_at` is given for what arrived before other
    updates that may have been applied meanwhile. `waits` is for a notification whose provider must be queried first about the
    eSIMs or orders `queried`, `waits_for` for one whose order is not known.
    """

    scope: Scope
    updates: tuple[Update, ...] = ()
    entry: JournalEntry | None = None
    journaled: bool = False
    waits: bool = False
    queried: tuple[Identity, ...] = ()
    waits_for: Identity | None = None
    indices: tuple[int, ...] = ()
    repetition: Repetition | None = None
    esim_ids: tuple[UUID, ...] = ()
    order_id: UUID | None = None
    creates: bool = False
    arrived_at: datetime | None = None
    doubts: tuple[Doubt, ...] = ()
    traceparent: str | None = None
    """The span in which it came, which its events carry on; None for the one in which it is applied."""

    @property
    def source(self) -> str:
        """Name of the provider, or `updates`."""
        return self.entry.source if self.entry is not None else self.scope.provider or ""


class BatchResult(Struct, frozen=True, kw_only=True):
    """What became of a batch: the results of each item, and whether it gave the dispatcher or the backlog work."""

    results: Sequence[Results]
    now: datetime
    deliveries: int = 0
    fan_outs: int = 0
    backlog: int = 0
    doubts: int = 0
    unreadable: tuple[UUID, ...] = ()
    direct: Sequence[DirectDelivery] = ()
    """Deliveries to hand over to their lanes once the transaction is committed."""


async def apply_batch(
    db: Session, items: Sequence[Item], policy: EmitPolicy, *, lanes: Lanes | None = None
) -> BatchResult:
    """Apply the items in their order and write all that follows; needs a transaction of its own that ends with it.

    With `lanes` the deliveries for those are claimed at once, to be handed over. Raises `Conflicting` where another
    transaction takes in the same notification at the same time, or what is new speaks of an account that is frozen.
    """
    with tracing.span("apply batch", attributes={"messaging.batch.message_count": len(items)}) as span:
        known = await batch_reads.lock_and_read(
            db,
            list(_lookup_keys(items)),
            [one.repetition.seen for one in items if one.repetition and one.repetition.timed],
        )
        applying = Applying(known, policy, traceparent=span.traceparent)
        repetitions = Repetitions(known.seen)
        results = [_apply(item, applying, repetitions, known) for item in items]
        if known.frozen:
            await _refuse_frozen(db, items, results)
        writes = applying.writes()
        for item, result in zip(items, results, strict=True):
            awaited = applying.awaited.get(item.entry.id, ()) if item.entry is not None else ()
            _journal(writes, item, result, repetitions, awaited=awaited, now=known.now)
        _wake_own(writes)
        return await _write(db, writes, results, known, lanes=lanes)


async def _refuse_frozen(db: Session, items: Sequence[Item], results: Sequence[Results]) -> None:
    """Acknowledge nothing new of a frozen account: whoever sends it sends it again, and then to where the account is."""
    new = [(item, own) for item, own in zip(items, results, strict=True) if item.entry and not item.journaled]
    queried = [(item.source, identity) for item, _ in new for identity in item.queried]
    is_met = any(result.detail == MOVING for _, own in new for result in own)
    if is_met or (queried and await freezing.any_frozen(db, queried)):
        raise Conflicting(MOVING, retry_after_s=freezing.RETRY_AFTER_S)


async def emit_pending(db: Session, esim_ids: Sequence[UUID], policy: EmitPolicy) -> BatchResult:
    """Emit pushed usage that has waited for the interval, of eSIMs that this transaction has locked."""
    nothing = LookupKeys(scope=Scope(), identity=Identity(), esim_ids=tuple(esim_ids))
    known = await batch_reads.lock_and_read(db, [nothing], [])
    applying = Applying(known, policy, traceparent=None)
    for esim_id in esim_ids:
        applying.emit_pending(esim_id)
    unreadable = tuple(one.id for one in known.candidates if isinstance(one, Unreadable))
    return replace(await _write(db, applying.writes(), (), known), unreadable=unreadable)


async def _write(
    db: Session, writes: Writes, results: Sequence[Results], known: Known, *, lanes: Lanes | None = None
) -> BatchResult:
    if lanes is not None:
        offer(writes, lanes)
    written = await batch_writes.write(db, writes)
    ordered = [delivery for delivery in writes.deliveries if delivery.ordered]
    if ordered:
        await queue.enqueue(db, ordered)
    metrics.events_emitted([event.type for event in writes.events])
    for source, _, doubt in writes.doubts:
        metrics.provider_doubt(source, doubt.field)
    return BatchResult(
        results=results,
        now=known.now,
        deliveries=len(writes.deliveries),
        fan_outs=len(writes.fan_outs),
        backlog=len(writes.backlog) + written.woken + sum(one.waits for one in writes.journal_updates),
        doubts=len(writes.doubts),
        direct=direct_deliveries(writes, written),
    )


def _lookup_keys(items: Iterable[Item]) -> Iterable[LookupKeys]:
    for item in items:
        for index, update in enumerate(item.updates):
            esim_id = item.esim_ids[index] if item.esim_ids else None
            yield LookupKeys(
                scope=item.scope,
                identity=update.identity,
                replaces=update.replaces,
                esim_ids=tuple(one for one in (esim_id, id_or_none(Prefix.ESIM, update.replaces)) if one is not None),
                order_id=item.order_id,
                creation_lock=_creation_lock(item, update),
            )


def _creation_lock(item: Item, update: Update) -> int | None:
    """Whoever may create an eSIM of a transaction keeps others from it; different transactions may share a lock."""
    tenant, transaction_id = item.scope.tenant, update.identity.transaction_id
    if not item.creates or tenant is None or transaction_id is None or update.esim_status is None:
        return None
    return zlib.crc32(f"{tenant.account_id} {tenant.mode} {transaction_id}".encode()) % CREATION_LOCKS


def _apply(item: Item, applying: Applying, repetitions: Repetitions, known: Known) -> Results:
    not_applied = _why_not(item, repetitions, known)
    if not_applied is not None:
        return not_applied
    source = Source(
        scope=item.scope,
        name=item.source,
        notification_id=item.entry.id if item.entry is not None else None,
        creates=item.creates,
        order_id=item.order_id,
        arrived_at=item.arrived_at,
        traceparent=item.traceparent,
    )
    results = tuple(
        applying.apply(
            update,
            source,
            esim_id=item.esim_ids[index] if item.esim_ids else None,
            digest=item.repetition.digest_of(index) if item.repetition is not None else None,
        )
        for index, update in enumerate(item.updates)
    )
    if item.repetition is not None and all(result.outcome is UpdateOutcome.INVALID for result in results):
        repetitions.forget(item.repetition)
    return results


def _why_not(item: Item, repetitions: Repetitions, known: Known) -> Results | None:
    """Return what becomes of an item of which nothing is applied now, None where its updates are."""
    tenant = item.scope.tenant
    if tenant is not None and item.creates and tenant.account_id not in known.accounts:
        return (UpdateResult(outcome=UpdateOutcome.INVALID, detail="there is no such account"),)
    if _must_wait_its_turn(item, known):
        return ()
    repeated = repetitions.check(item.repetition) if item.repetition is not None else None
    if repeated is not None:
        return (repeated,)
    if item.waits:
        return (UpdateResult(outcome=UpdateOutcome.WAITING),)
    if item.updates:
        return None
    entry = item.entry
    outcome, detail = (UpdateOutcome.UNCHANGED, None) if entry is None else (entry.outcome, entry.detail)
    return (UpdateResult(outcome=outcome, detail=detail),)


def _must_wait_its_turn(item: Item, known: Known) -> bool:
    """Whether it is a provider's notification, and earlier ones of that provider are stored and not yet applied."""
    return item.entry is not None and not item.journaled and item.source in known.storing and bool(item.updates)


def _journal(
    writes: Writes,
    item: Item,
    results: Results,
    repetitions: Repetitions,
    *,
    awaited: Sequence[Identity],
    now: datetime,
) -> None:
    """Write down what became of an item, and what must be looked at again: `awaited` are eSIMs that it will link to."""
    if item.entry is None or not results:
        return
    entry, own = item.entry, results
    if item.indices:
        again = dict(zip(item.indices, own, strict=True))
        results = tuple(again.get(index, result) for index, result in enumerate(entry.results))
    if item.repetition is not None and repetitions.is_first(item.repetition):
        writes.seen.append((item.repetition.seen, entry.id))
    summary = summarize(results)
    details = dict.fromkeys(
        [detail for detail in (summary.detail, None if item.journaled else entry.detail) if detail]
        + [doubt.detail for doubt in item.doubts if doubt.detail not in (summary.detail or "")]
    )
    entry = replace(
        entry,
        received_at=entry.received_at if item.journaled else now,
        outcome=summary.outcome,
        esim_id=summary.esim_id,
        detail="; ".join(details) or None,
        results=results,
    )
    waits = UpdateOutcome.WAITING in (result.outcome for result in results)
    if item.journaled:
        writes.journal_updates.append(JournalUpdate(entry, waits=waits))
    else:
        writes.entries.append(entry)
        if waits:
            writes.backlog.append(entry)
    unmatched = [
        update.identity
        for update, result in zip(item.updates, own, strict=False)
        if result.outcome is UpdateOutcome.UNMATCHED
    ]
    if item.waits_for is not None:
        unmatched.append(item.waits_for)
    unmatched += awaited
    writes.unmatched += [Unmatched(entry.id, entry.source, identity, entry.received_at) for identity in unmatched]
    if entry.source != UPDATES_SOURCE:
        writes.doubts += [(entry.source, entry.id, doubt) for doubt in item.doubts]


def _wake_own(writes: Writes) -> None:
    """Have looked at again what found no eSIM before a later update of the same batch made it known.

    The statement that writes does not see the rows that it writes itself.
    """
    known: dict[tuple[str, tuple[str, str]], list[Identity]] = {}
    for source, identity in writes.better_known:
        for name in names_of(identity):
            known.setdefault((source, name), []).append(identity)
    woken = {
        one.notification_id
        for one in writes.unmatched
        for name in names_of(one.identity)
        if any(may_be(esim, one.identity) for esim in known.get((one.source, name), ()))
    }
    if not woken:
        return
    writes.unmatched = [one for one in writes.unmatched if one.notification_id not in woken]
    writes.backlog += [entry for entry in writes.entries if entry.id in woken]
    writes.journal_updates = [
        replace(one, waits=True, is_due=True) if one.entry.id in woken else one for one in writes.journal_updates
    ]


def names_of(identity: Identity) -> set[tuple[str, str]]:
    """Return what identifies an eSIM or its order, each with its kind."""
    names = (("key", identity.esim_tran_no), ("order", identity.order_no), ("transaction", identity.transaction_id))
    return {(kind, name) for kind, name in names if name is not None}


def names_in(item: Item) -> set[str]:
    """Return what may identify the eSIMs and orders that an item speaks of."""
    return {name for update in item.updates for _, name in names_of(update.identity)}


def summarize(results: Results) -> UpdateResult:
    """Return what became of several updates together: the outcome that changed most, all events and details."""
    if len(results) == 1:
        return results[0]
    if not results:
        return UpdateResult(outcome=UpdateOutcome.UNCHANGED, detail="the provider reported nothing")
    first = min(results, key=lambda result: _WEIGHT[result.outcome])
    events: tuple[UUID, ...] = sum((result.event_ids for result in results), ())
    details = dict.fromkeys(result.detail for result in results if result.detail)
    return replace(first, event_ids=events, detail="; ".join(details) or None)


_WEIGHT = {
    outcome: weight
    for weight, outcome in enumerate(
        (
            UpdateOutcome.APPLIED,
            UpdateOutcome.WAITING,
            UpdateOutcome.UNMATCHED,
            UpdateOutcome.UNCHANGED,
            UpdateOutcome.STALE,
            UpdateOutcome.DUPLICATE,
            UpdateOutcome.INVALID,
            UpdateOutcome.IGNORED,
        )
    )
}
