"""One update after the other becomes eSIM state and events, in memory.

What was read of a batch comes in; each update is matched and applied to what the ones before have left; at the end all
that is to be written goes out. The decisions are the domain's.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.change import Change, EventDraft, UpdateOutcome, UpdateResult
from esimhooks.server.domain.credentials import TOKEN_BYTES, own_address
from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.emit import Emission, EmitPolicy, emit, emit_pending, envelope
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import Esim, Further
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, id_or_none, new_id
from esimhooks.server.domain.transition import apply, lacks_volume, superseded, superseding
from esimhooks.server.domain.update import Cause, Doubt, Identity, Update
from esimhooks.server.ingest.deduplication import is_last_again
from esimhooks.server.ingest.directory import KEYS, Directory, is_another, is_named
from esimhooks.server.ingest.fan_out import wanted_deliveries
from esimhooks.server.store.batch_reads import MAX_INLINE_ENDPOINTS, Candidate, Known, Scope, Unreadable
from esimhooks.server.store.batch_writes import Writes
from esimhooks.server.store.freezing import MOVING
from esimhooks.server.store.journal import UPDATES_SOURCE
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.statuses import EsimStatus

NO_VOLUME = Doubt(
    "data_usage_remain", "data_usage_remain: expected totalVolume beside it, as no volume of this eSIM is known"
)
OF_ANOTHER_TENANT = "replaces: expected an eSIM of the same account and mode as the one that takes its place"
UNREADABLE = "the stored eSIM cannot be decrypted: this is tried again"


class Source(Struct, frozen=True, kw_only=True):
    """Where an update comes from: `name` is a provider's, or `updates`; see `batch.Item` for the rest."""

    scope: Scope
    name: str
    notification_id: UUID | None = None
    creates: bool = False
    order_id: UUID | None = None
    arrived_at: datetime | None = None
    traceparent: str | None = None


class _Target(Struct, frozen=True):
    """What an update is applied to; `replaced` is the eSIM whose place a new one takes."""

    esim: Esim
    update: Update
    replaced: Esim | None


class Applying:
    """The eSIMs of a batch as they change, and the events that follow. `now` is the database's time."""

    def __init__(self, known: Known, policy: EmitPolicy, *, traceparent: str | None) -> None:
        self._directory = Directory(known.candidates)
        self._known = known
        self._policy = policy
        self._traceparent = traceparent
        self._events: list[Event] = []
        self.doubts: list[tuple[str, UUID | None, Doubt]] = []
        self.awaited: dict[UUID, list[Identity]] = {}

    def apply(
        self, update: Update, source: Source, *, esim_id: UUID | None = None, digest: str | None = None
    ) -> UpdateResult:
        """Apply an update to the eSIM that it speaks of, if any; `esim_id` where that is known already.

        `digest` is given where a repetition can only be recognised by the last bytes that were applied from this source.
        """
        target = self._target(update, source, esim_id)
        if isinstance(target, UpdateResult):
            return target
        esim = target.esim
        if digest is not None and is_last_again(esim.last_digests.get(source.name), digest):
            return UpdateResult(outcome=UpdateOutcome.DUPLICATE, esim_id=esim.id)
        return self._change(target, source, digest)

    def _target(self, update: Update, source: Source, esim_id: UUID | None) -> "_Target | UpdateResult":
        """Return the eSIM that an update is applied to, found or new, or why it is not applied."""
        esim, replaced = self._matching(update, source, esim_id), None
        if update.replaces is not None and esim_id is None:
            replaced = self._directory.find_replaced(source.scope, update.replaces)
            wrong = _wrong_replacement(update, replaced, esim)
            if wrong is not None:
                return UpdateResult(outcome=UpdateOutcome.INVALID, detail=wrong)
            itself = esim is not None and esim is not replaced and is_named(esim, update.identity)
            esim = esim if itself else None  # neither the one that is replaced nor a free slot of its order
            if esim is not None and replaced is not None and not _are_of_one_tenant(esim, replaced):
                return UpdateResult(outcome=UpdateOutcome.INVALID, detail=OF_ANOTHER_TENANT)
        blocked = self._blocked((esim, replaced), source)
        if blocked is not None:
            return blocked
        assert not isinstance(esim, Unreadable)  # noqa: S101 - seen above
        assert not isinstance(replaced, Unreadable)  # noqa: S101 - seen above
        if replaced is not None and update.esim_status is None:
            update = replace(update, esim_status=EsimStatus.CREATED)
        if lacks_volume(esim, update):
            update = replace(update, remaining_bytes=None, used_percent=None, doubts=(*update.doubts, NO_VOLUME))
            if update.says_nothing:
                found = None if esim is None else esim.id
                return UpdateResult(outcome=UpdateOutcome.INVALID, esim_id=found, detail=NO_VOLUME.detail)
        esim = self._new(update, source, replaced) if esim is None else esim
        if update.replaces is not None and replaced is None and (esim is None or esim.further.replaces is None):
            self._await(source, Identity(esim_tran_no=update.replaces))
        if esim is None:
            self._doubt(source, update.doubts)
            return UpdateResult(outcome=UpdateOutcome.UNMATCHED, detail=_unmatched(update.identity))
        return _Target(esim, update, replaced if esim.further.replaces is None else None)

    def _blocked(self, candidates: Sequence[Candidate | None], source: Source) -> UpdateResult | None:
        """Return what an update waits for, None where it can be applied."""
        for candidate in candidates:
            if isinstance(candidate, Unreadable):
                return UpdateResult(outcome=UpdateOutcome.WAITING, esim_id=candidate.id, detail=UNREADABLE)
            if candidate is not None and candidate.account_id in self._known.frozen:
                return UpdateResult(outcome=UpdateOutcome.WAITING, esim_id=candidate.id, detail=MOVING)
        if source.scope.tenant is not None and source.scope.tenant.account_id in self._known.frozen:
            return UpdateResult(outcome=UpdateOutcome.WAITING, detail=MOVING)
        return None

    def _await(self, source: Source, identity: Identity) -> None:
        """Have the notification looked at again once the eSIM is known that another one replaces."""
        if source.notification_id is not None:
            self.awaited.setdefault(source.notification_id, []).append(identity)

    def _doubt(self, source: Source, doubts: Sequence[Doubt]) -> None:
        """Take note of what was not understood of a provider; the operator hears of his own updates in the answer."""
        if source.name and source.name != UPDATES_SOURCE:
            self.doubts += [(source.name, source.notification_id, doubt) for doubt in doubts]

    def emit_pending(self, esim_id: UUID) -> None:
        """Emit the usage of an eSIM that has waited for the interval."""
        esim = self._directory.get(esim_id)
        if isinstance(esim, Esim) and esim.account_id not in self._known.frozen:
            emission = emit_pending(esim, now=self._known.now)
            self._record(emission, happened_at=esim.usage_at or self._known.now, source=None)

    def _matching(self, update: Update, source: Source, esim_id: UUID | None) -> Candidate | None:
        if esim_id is not None:
            return self._directory.get(esim_id)
        return self._directory.find(source.scope, update, order_id=source.order_id)

    def _new(self, update: Update, source: Source, replaced: Esim | None) -> Esim | None:
        """Return an eSIM that the update makes known, not yet in the directory, or None where it may make none."""
        tenant, identity = source.scope.tenant, update.identity
        if replaced is not None:
            return Esim(
                id=new_id(),
                account_id=replaced.account_id,
                mode=replaced.mode,
                created_at=self._known.now,
                updated_at=self._known.now,
                provider=replaced.provider,
                transaction_id=identity.transaction_id or replaced.transaction_id,
                further=Further(metadata=replaced.further.metadata),
            )
        if not source.creates or tenant is None or identity.transaction_id is None or update.esim_status is None:
            return None
        if not self._directory.may_create(source.scope, identity):
            return None
        return Esim(
            id=new_id(),
            account_id=tenant.account_id,
            mode=tenant.mode,
            created_at=self._known.now,
            updated_at=self._known.now,
            provider=source.scope.provider,
            transaction_id=identity.transaction_id,
        )

    def _change(self, target: _Target, source: Source, digest: str | None) -> UpdateResult:
        esim, replaced, now = target.esim, target.replaced, self._known.now
        change = apply(esim, target.update, received_at=source.arrived_at or now, now=now)
        if replaced is not None:
            change = superseding(change, replaced.id, now=now)
        self._doubt(source, change.doubts)
        after = self._assign_provider(change.after, target.update, source)
        known = None if self._directory.get(esim.id) is None else esim.id
        keeps_key = known and (esim.esim_tran_no, esim.provider) == (after.esim_tran_no, after.provider)
        if not keeps_key and self._directory.holder_of(after) is not None:
            detail = f"another eSIM has the key {after.esim_tran_no}"
            return UpdateResult(outcome=UpdateOutcome.INVALID, esim_id=known, detail=detail)
        if self._policy.public_url is not None and after.ac is not None and after.qr_code_url is None:
            address = own_address(self._policy.public_url, after.id, secrets.token_urlsafe(TOKEN_BYTES))
            after = replace(after, qr_code_url=address)
        if digest is not None and change.outcome is not UpdateOutcome.STALE:
            after = replace(after, last_digests={**after.last_digests, source.name: digest})
        elif change.outcome is UpdateOutcome.APPLIED and change.cause is not Cause.CLOCK:
            others = {name: last for name, last in after.last_digests.items() if name != source.name}
            after = replace(after, last_digests=others)  # another fact of this source came between
        events: tuple[UUID, ...] = ()
        if change.outcome is UpdateOutcome.STALE and change.cause is not Cause.REQUERY:
            self._directory.put(after)
        else:
            emission = emit(replace_after(change, after), self._policy, now=now)
            events = self._record(emission, happened_at=change.happened_at, source=source)
        if replaced is not None:
            end = superseded(replaced, esim.id, now=now)
            self._record(emit(end, self._policy, now=now), happened_at=now, source=source)
        return UpdateResult(
            outcome=change.outcome,
            esim_id=esim.id,
            event_ids=events,
            detail="; ".join(doubt.detail for doubt in change.doubts) or None,
        )

    def _assign_provider(self, esim: Esim, update: Update, source: Source) -> Esim:
        """An eSIM without a provider becomes that of the provider which an update names.

        One with a key only by an update that has it: whether another eSIM of that provider has it is known only then.
        """
        key_fits = esim.esim_tran_no in (None, update.identity.esim_tran_no)
        if esim.provider is None and source.scope.provider is not None and key_fits:
            return replace(esim, provider=source.scope.provider)
        return esim

    def _record(self, emission: Emission, *, happened_at: datetime, source: Source | None) -> tuple[UUID, ...]:
        esim = emission.esim
        self._directory.put(esim)
        first = esim.sequence - len(emission.drafts) + 1
        made = [
            self._event(draft, emission, sequence=sequence, happened_at=happened_at, source=source)
            for sequence, draft in enumerate(emission.drafts, first)
        ]
        self._events += made
        return tuple(event.id for event in made)

    def _event(
        self, draft: EventDraft, emission: Emission, *, sequence: int, happened_at: datetime, source: Source | None
    ) -> Event:
        event_id, esim = new_id(), emission.esim
        body = encode(envelope(event_id, draft, emission, sequence=sequence, happened_at=happened_at))
        return Event(
            id=event_id,
            tenant=Tenant(esim.account_id, esim.mode),
            esim_id=esim.id,
            type=draft.type,
            happened_at=happened_at,
            notification_id=source.notification_id if source is not None else None,
            body=body,
            traceparent=(source.traceparent if source is not None else None) or self._traceparent,
        )

    def writes(self) -> Writes:
        """Return eSIMs, events and deliveries as they are to be written."""
        stored = self._directory.stored
        changed = list(self._directory.changed())
        fan_outs, deliveries = self._deliveries()
        return Writes(
            created=[esim for esim in changed if esim.id not in stored],
            changed=[esim for esim in changed if esim.id in stored],
            events=self._events,
            fan_outs=fan_outs,
            deliveries=deliveries,
            doubts=self.doubts,
            better_known=[
                (
                    source,
                    Identity(
                        esim_tran_no=esim.esim_tran_no, order_no=esim.order_no, transaction_id=esim.transaction_id
                    ),
                )
                for esim in changed
                if _is_better_known(stored.get(esim.id), esim)
                for source in (esim.provider, UPDATES_SOURCE)
                if source is not None
            ],
        )

    def _deliveries(self) -> tuple[list[Event], list[Delivery]]:
        """A delivery for each endpoint that wants an event; of tenants with many, the events are fanned out later."""
        fan_outs: list[Event] = []
        deliveries: list[Delivery] = []
        for event in self._events:
            subscriptions = self._known.subscriptions.get(event.tenant, [])
            if event.tenant in self._known.fanning_out or len(subscriptions) > MAX_INLINE_ENDPOINTS:
                fan_outs.append(event)
                continue
            deliveries += wanted_deliveries(event, subscriptions)
        return fan_outs, deliveries


def replace_after(change: Change, after: Esim) -> Change:
    """Return the change with the eSIM as it is written."""
    return change if after is change.after else replace(change, after=after)


def _is_better_known(stored: Esim | None, esim: Esim) -> bool:
    return stored is None or any(getattr(stored, key) != getattr(esim, key) for key in KEYS)


def _are_of_one_tenant(one: Candidate, other: Candidate) -> bool:
    return (one.account_id, one.mode) == (other.account_id, other.mode)


def _wrong_replacement(update: Update, replaced: Candidate | None, esim: Candidate | None) -> str | None:
    """Return what is wrong with `replaces`, or None. A key that is not known yet is not wrong, one of our ids is."""
    if replaced is None:
        return "replaces: there is no such eSIM" if id_or_none(Prefix.ESIM, update.replaces) is not None else None
    if isinstance(replaced, Esim) and esim is not None and replaced.further.replaces == esim.id:
        return "replaces: expected an eSIM other than the one that has taken the place of this one"
    if is_another(replaced, update.identity):
        return None
    return "replaces: expected a key, an ICCID or a transaction of the new eSIM beside it"


def _unmatched(identity: Identity) -> str:
    known = [name for name in ("esim_tran_no", "order_no", "transaction_id", "iccid") if getattr(identity, name)]
    if not known:
        return "no eSIM is named: expected its key, or its transaction or order"
    return f"no single eSIM is known by its {', '.join(known)}"
