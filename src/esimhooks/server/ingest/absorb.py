"""Absorb: updates become eSIM state, events and deliveries, inside the caller's transaction.

Finds and locks the eSIMs of all updates at once, applies the rules one update after the other in memory, and writes
everything that followed in a handful of statements, however many updates there are.
"""

import secrets
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct, structs

from esimhooks.server.domain.change import Change, UpdateOutcome
from esimhooks.server.domain.compose import envelope
from esimhooks.server.domain.credentials import TOKEN_BYTES, needs_picture, own_address
from esimhooks.server.domain.emit import EmitPolicy, emit
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.transition import KEYS, apply, lacks_volume
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.ingest.publish import publish
from esimhooks.server.observe import tracing
from esimhooks.server.store import esims, journal
from esimhooks.server.store.database import Session
from esimhooks.server.store.esims import Scope
from esimhooks.vocabulary.envelope import encode

NO_VOLUME = "/data_usage_remain: expected totalVolume beside it, as no volume of this eSIM is known"


class Entry(Struct, frozen=True, kw_only=True):
    """One update with where it came from.

    `esim_id` is given where the eSIM is known already; `creates` lets an unknown one be created for the scope's
    tenant, where the update carries a transaction id and a status.
    """

    update: Update
    scope: Scope
    received_at: datetime
    notification_id: UUID | None = None
    esim_id: UUID | None = None
    creates: bool = False
    traceparent: str | None = None
    """The span in which it came, which its events carry on; None for the one in which it is absorbed."""


class Absorbed(Struct, frozen=True, kw_only=True):
    """What became of one update, and the events it raised."""

    outcome: UpdateOutcome
    esim_id: UUID | None = None
    event_ids: tuple[UUID, ...] = ()
    detail: str | None = None


async def absorb(db: Session, entries: Sequence[Entry], policy: EmitPolicy, *, now: datetime) -> list[Absorbed]:
    """Apply the updates in their order and store all that follows; needs a transaction."""
    if not entries:
        return []
    with tracing.span("absorb", attributes={"messaging.batch.message_count": len(entries)}) as span:
        book = _Book(policy, now, traceparent=span.traceparent)
        found = await _find(db, entries, book)
        results = [book.absorb(entry, esim_id) for entry, esim_id in zip(entries, found, strict=True)]
        await book.write(db)
        return results


async def _find(db: Session, entries: Sequence[Entry], book: "_Book") -> list[UUID | None]:
    found = [entry.esim_id for entry in entries]
    book.know(await esims.lock(db, [esim_id for esim_id in found if esim_id is not None]))
    await _match(db, entries, found, book, [i for i, entry in enumerate(entries) if entry.esim_id is None])
    creating = [i for i, entry in enumerate(entries) if found[i] is None and _may_create(entry)]
    if creating:
        transactions = {_transaction(entries[i]) for i in creating}
        await esims.lock_transactions(db, transactions)
        book.know_elders(await esims.of_transactions(db, transactions))
        await _match(db, entries, found, book, creating)
    return found


async def _match(
    db: Session, entries: Sequence[Entry], found: list[UUID | None], book: "_Book", places: Sequence[int]
) -> None:
    if not places:
        return
    ids, known = await esims.lock_matching(db, [(entries[i].scope, entries[i].update.identity) for i in places])
    book.know(known)
    for place, esim_id in zip(places, ids, strict=True):
        found[place] = esim_id


def _may_create(entry: Entry) -> bool:
    update = entry.update
    return entry.creates and update.esim_status is not None and update.identity.transaction_id is not None


def _transaction(entry: Entry) -> tuple[Tenant, str]:
    tenant, transaction_id = entry.scope.tenant, entry.update.identity.transaction_id
    if tenant is None or transaction_id is None:
        raise ValueError("only updates with a tenant and a transaction id create eSIMs")
    return tenant, transaction_id


class _Book:
    """The eSIMs of one transaction as they change, and what has to be written at its end."""

    def __init__(self, policy: EmitPolicy, now: datetime, *, traceparent: str | None) -> None:
        self._traceparent = traceparent
        self._policy = policy
        self._now = now
        self._stored: dict[UUID, Esim] = {}
        self._present: dict[UUID, Esim] = {}
        self._elders: dict[tuple[Tenant, str], list[Identity]] = {}
        self._created: dict[tuple[Tenant, str], list[UUID]] = defaultdict(list)
        self._keys: dict[tuple[Tenant, str, *tuple[str, ...]], UUID] = {}
        self._events: list[Event] = []

    def know(self, known: Sequence[Esim]) -> None:
        """Take in eSIMs as they are stored."""
        for esim in known:
            self._stored[esim.id] = esim
            self._present[esim.id] = esim

    def know_elders(self, elders: dict[tuple[Tenant, str], list[Identity]]) -> None:
        """Take in what is stored of transactions under which eSIMs may be created."""
        self._elders = elders

    def absorb(self, entry: Entry, esim_id: UUID | None) -> Absorbed:
        """Apply one update to the eSIM it belongs to, if any."""
        if esim_id is None:
            esim_id = self._among_created(entry)
        if esim_id is None and self._is_new(entry):
            if lacks_volume(None, entry.update):
                return Absorbed(outcome=UpdateOutcome.INVALID, detail=NO_VOLUME)
            esim_id = self._create(entry)
        if esim_id is None or esim_id not in self._present:
            return Absorbed(outcome=UpdateOutcome.UNMATCHED, detail=_unmatched(entry.update.identity))
        esim = self._present[esim_id]
        if lacks_volume(esim, entry.update):
            return Absorbed(outcome=UpdateOutcome.INVALID, esim_id=esim_id, detail=NO_VOLUME)
        change = apply(esim, self._with_picture(esim, entry.update), received_at=entry.received_at)
        events = self._tell(change, entry)
        return Absorbed(outcome=change.outcome, esim_id=esim_id, event_ids=events)

    def _with_picture(self, esim: Esim, update: Update) -> Update:
        if self._policy.public_url is None or not needs_picture(esim, update):
            return update
        address = own_address(self._policy.public_url, esim.id, secrets.token_urlsafe(TOKEN_BYTES))
        return structs.replace(update, qr_code_url=address)

    def _tell(self, change: Change, entry: Entry) -> tuple[UUID, ...]:
        if change.outcome is UpdateOutcome.STALE and change.cause is not Cause.REQUERY:
            return ()
        emission = emit(change, self._policy, now=self._now)
        esim = emission.esim
        self._present[esim.id] = esim
        self._index(esim)
        first = esim.sequence - len(emission.drafts) + 1
        made = []
        for sequence, draft in enumerate(emission.drafts, first):
            event_id = new_id()
            body = encode(envelope(event_id, draft, emission, sequence=sequence, happened_at=change.happened_at))
            made.append(
                Event(
                    id=event_id,
                    tenant=Tenant(esim.account_id, esim.mode),
                    esim_id=esim.id,
                    type=draft.type,
                    happened_at=change.happened_at,
                    notification_id=entry.notification_id,
                    body=body,
                    traceparent=entry.traceparent or self._traceparent,
                )
            )
        self._events += made
        return tuple(event.id for event in made)

    def _among_created(self, entry: Entry) -> UUID | None:
        """Return the eSIM that an earlier update of this transaction created, by the order of `lock_matching`."""
        tenant, identity = entry.scope.tenant, entry.update.identity
        if tenant is None:
            return None
        found = (self._keys.get(key) for key in _keys(tenant, identity))
        for esim_id in found:
            if esim_id is not None and _may_be(self._present[esim_id], identity):
                return esim_id
        if identity.transaction_id is None:
            return None
        siblings = self._created.get((tenant, identity.transaction_id), [])
        alone = len(siblings) == 1 and not self._elders.get((tenant, identity.transaction_id))
        return siblings[0] if alone and _may_be(self._present[siblings[0]], identity) else None

    def _is_new(self, entry: Entry) -> bool:
        """Whether an eSIM may be created and no eSIM of the transaction may be the one that is meant."""
        if not _may_create(entry):
            return False
        whose = _transaction(entry)
        family: list[Identity | Esim] = [
            *self._elders.get(whose, []),
            *(self._present[esim_id] for esim_id in self._created[whose]),
        ]
        return not any(_may_be(one, entry.update.identity) for one in family)

    def _create(self, entry: Entry) -> UUID:
        tenant, transaction_id = _transaction(entry)
        esim = Esim(
            id=new_id(),
            account_id=tenant.account_id,
            mode=tenant.mode,
            created_at=entry.received_at,
            updated_at=entry.received_at,
            transaction_id=transaction_id,
        )
        self._created[tenant, transaction_id].append(esim.id)
        self._present[esim.id] = esim
        return esim.id

    def _index(self, esim: Esim) -> None:
        """Let later updates of this transaction find an eSIM that is not stored yet."""
        if esim.id not in self._stored:
            for key in _keys(Tenant(esim.account_id, esim.mode), esim):
                self._keys[key] = esim.id

    async def write(self, db: Session) -> None:
        """Write eSIMs, events and deliveries, and wake what waited for an eSIM that is known now."""
        changed = {esim_id: esim for esim_id, esim in self._present.items() if esim != self._stored.get(esim_id)}
        await esims.insert(db, [esim for esim_id, esim in changed.items() if esim_id not in self._stored])
        await esims.update(db, [esim for esim_id, esim in changed.items() if esim_id in self._stored])
        await wake_unmatched(db, [esim for esim_id, esim in changed.items() if self._is_better_known(esim)])
        await publish(db, self._events)

    def _is_better_known(self, esim: Esim) -> bool:
        stored = self._stored.get(esim.id)
        return stored is None or any(getattr(stored, key) != getattr(esim, key) for key in KEYS)


async def wake_unmatched(db: Session, known: Sequence[Esim]) -> None:
    """Have notifications looked at again that may speak of these eSIMs; needs a transaction."""
    await journal.wake_unmatched(
        db,
        [
            (
                tuple(source for source in (esim.provider, journal.UPDATES_SOURCE) if source),
                Identity(esim_tran_no=esim.esim_tran_no, order_no=esim.order_no, transaction_id=esim.transaction_id),
            )
            for esim in known
        ],
    )


def _keys(tenant: Tenant, whose: Identity | Esim) -> list[tuple[Tenant, str, *tuple[str, ...]]]:
    """What identifies an eSIM among those of a tenant, the strongest first."""
    keys: list[tuple[Tenant, str, *tuple[str, ...]]] = []
    if whose.esim_tran_no is not None:
        keys.append((tenant, "key", whose.esim_tran_no))
    if whose.order_no is not None and whose.iccid is not None:
        keys.append((tenant, "order", whose.order_no, whose.iccid))
    if whose.transaction_id is not None and whose.iccid is not None:
        keys.append((tenant, "transaction", whose.transaction_id, whose.iccid))
    return keys


def _may_be(known: Identity | Esim, told: Identity) -> bool:
    same_key = known.esim_tran_no is None or told.esim_tran_no is None or known.esim_tran_no == told.esim_tran_no
    return same_key and (known.iccid is None or told.iccid is None or known.iccid == told.iccid)


def _unmatched(identity: Identity) -> str:
    told = [name for name in ("esim_tran_no", "order_no", "transaction_id", "iccid") if getattr(identity, name)]
    return f"no single eSIM is known by its {', '.join(told) or 'identity: none was given'}"
