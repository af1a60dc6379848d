"""Which events a change raises: a change in, envelopes of events and the bookkeeping of the eSIM out. Pure: ids are arguments.

Order of the events of one change: status, data_updated, usage_updated, requeried. A threshold lies
armed above the present percentage: crossing it upwards fires it once, and a top-up or a usage that falls below it arms it
again. So the percentages before and after decide; where there are several plans, each has its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct

from esimhooks.server.domain.change import Change, EventDraft
from esimhooks.server.domain.esim import Esim, OpenTopUp
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.plans import Plan
from esimhooks.server.domain.update import Cause
from esimhooks.server.domain.validity import ACTIVE
from esimhooks.server.domain.wire import changed_fields, esim_data
from esimhooks.vocabulary.envelope import Envelope, FieldChange, FieldValue, TopUp
from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import EsimStatus, Reason
from esimhooks.vocabulary.timestamps import timestamp
from esimhooks.vocabulary.volumes import megabytes


def percent_used(holder: Esim | Plan | None) -> int:
    """Return the used share of the volume in whole percent, rounded down; 0 where it is unknown or unlimited."""
    if holder is None or not holder.total_bytes or holder.used_bytes is None:
        return 0
    return holder.used_bytes * 100 // holder.total_bytes


def crossed(before: Esim | Plan | None, after: Esim | Plan, thresholds: Iterable[int]) -> tuple[int, ...]:
    """Return the thresholds that this change crossed, ascending."""
    low, high = percent_used(before), percent_used(after)
    return tuple(sorted(threshold for threshold in thresholds if low < threshold <= high))


NOT_CREATED = frozenset({None, EsimStatus.PENDING})

EVENT_OF: dict[EsimStatus, EventType] = {
    EsimStatus.CREATED: EventType.CREATED,
    EsimStatus.ACTIVATED: EventType.ACTIVATED,
    EsimStatus.IN_USE: EventType.ACTIVATED,
    EsimStatus.SUSPENDED: EventType.SUSPENDED,
    EsimStatus.CANCEL: EventType.SUSPENDED,
    EsimStatus.REVOKED: EventType.SUSPENDED,
    EsimStatus.EXPIRED: EventType.EXPIRED,
    EsimStatus.USED_UP: EventType.EXPIRED,
    EsimStatus.USED_EXPIRED: EventType.EXPIRED,
    EsimStatus.UNUSED_EXPIRED: EventType.EXPIRED,
    EsimStatus.FAILED: EventType.STATUS_CHANGED,
}
REASON_OF: dict[EsimStatus, Reason] = {
    EsimStatus.SUSPENDED: Reason.SUSPENDED,
    EsimStatus.CANCEL: Reason.CANCELLED,
    EsimStatus.REVOKED: Reason.REVOKED,
    EsimStatus.EXPIRED: Reason.VALIDITY_ENDED,
    EsimStatus.USED_UP: Reason.DATA_USED_UP,
    EsimStatus.USED_EXPIRED: Reason.DATA_USED_AND_VALIDITY_ENDED,
    EsimStatus.UNUSED_EXPIRED: Reason.UNUSED_DATA_EXPIRED,
}


class EmitPolicy(Struct, frozen=True, kw_only=True):
    """What the operator has set: thresholds in percent, and the least time between two pushed usage events.

    `public_url` is where our own pictures of activation codes are; without it there are none.
    """

    thresholds: tuple[int, ...] = (25, 50, 75, 90, 100)
    usage_interval_s: float = 14_400
    public_url: str | None = None


class Emission(Struct, frozen=True, kw_only=True):
    """The events of one change, the `data` they share, and the eSIM with its bookkeeping brought up to date."""

    esim: Esim
    data: EsimData
    drafts: tuple[EventDraft, ...]
    changes: dict[str, FieldChange]
    previous_status: EsimStatus | None
    new_status: EsimStatus | None
    """None where `esimStatus` did not change."""


def emit(change: Change, policy: EmitPolicy, *, now: datetime) -> Emission:
    """Return the events that the change raises at `now` (aware UTC)."""
    before, after = change.before, change.after
    data = esim_data(after, now=now)
    known = before.status is not None or before.sequence > 0
    changed = changed_fields(esim_data(before, now=now), data) if known else {}
    pending = {**changed, **before.pending_changes} if known else {}
    changes = _changes(pending, data)
    drafts, open_top_ups = _with_orders(_drafts(change, policy, now), after.further.open_top_ups)
    if open_top_ups != after.further.open_top_ups:
        after = msgspec.structs.replace(
            after, further=msgspec.structs.replace(after.further, open_top_ups=open_top_ups)
        )
    if drafts:
        usage = {EventType.DATA_UPDATED, EventType.USAGE_UPDATED} & {draft.type for draft in drafts}
        esim = msgspec.structs.replace(
            after,
            sequence=after.sequence + len(drafts),
            pending_changes={},
            pending_until=None,
            usage_emitted_at=now if usage else after.usage_emitted_at,
        )
    else:
        esim = msgspec.structs.replace(
            after,
            pending_changes={name: one.old for name, one in changes.items()},
            pending_until=after.pending_until or _usage_is_due_at(change, policy),
        )
    moved = before.status is not after.status
    return Emission(
        esim=esim,
        data=data,
        drafts=drafts,
        changes=changes if drafts else {},
        previous_status=before.status if moved else None,
        new_status=after.status if moved else None,
    )


def emit_pending(esim: Esim, *, now: datetime) -> Emission:
    """Return the event for pushed usage that has waited for the interval; none where nothing is pending any more."""
    data = esim_data(esim, now=now)
    changes = _changes(esim.pending_changes, data)
    drafts = (EventDraft(type=EventType.DATA_UPDATED),) if changes else ()
    return Emission(
        esim=msgspec.structs.replace(
            esim,
            sequence=esim.sequence + len(drafts),
            pending_changes={},
            pending_until=None,
            usage_emitted_at=now if drafts else esim.usage_emitted_at,
        ),
        data=data,
        drafts=drafts,
        changes=changes,
        previous_status=None,
        new_status=None,
    )


def _drafts(change: Change, policy: EmitPolicy, now: datetime) -> list[EventDraft]:
    drafts: list[EventDraft] = []
    status = _status_event(change)
    if status is not None:
        drafts.append(status)
    was_not_created = change.before.status in NOT_CREATED and change.after.status is not None
    is_creation = was_not_created and (status is not None or change.before.sequence == 0)
    usage = _data_events(change, policy, is_creation=is_creation)
    if not usage and not is_creation and _pushed_usage_is_due(change, policy, now):
        usage = [EventDraft(type=EventType.DATA_UPDATED)]
    drafts += usage
    if _usage_was_refreshed(change, drafts, is_creation=is_creation):
        drafts.append(EventDraft(type=EventType.USAGE_UPDATED))
    if change.cause is Cause.REQUERY:
        drafts.append(EventDraft(type=EventType.REQUERIED))
    return drafts


def _status_event(change: Change) -> EventDraft | None:
    before, after = change.before, change.after
    old, new = before.status, after.status
    if new is not None and new is not old:
        event = _event_of_status(old, new)
        reasoned = event in (EventType.SUSPENDED, EventType.EXPIRED)
        reason = (change.reason or REASON_OF[new]) if reasoned else None
        if new is EsimStatus.FAILED:
            reason = change.reason
        return None if event is None else EventDraft(type=event, reason=reason)
    if after.further.replaced_by != before.further.replaced_by:
        return EventDraft(type=EventType.SUSPENDED, reason=change.reason or Reason.REPLACED)
    replaced = before.iccid is not None and before.iccid != after.iccid
    if replaced or change.announced or before.smdp_status is not after.smdp_status:
        return EventDraft(type=EventType.STATUS_CHANGED, reason=change.reason if change.announced else None)
    return None


def _event_of_status(old: EsimStatus | None, new: EsimStatus) -> EventType | None:
    if new is EsimStatus.PENDING:
        return None if old is None else EventType.STATUS_CHANGED
    back_to_created = new is EsimStatus.CREATED and old not in NOT_CREATED
    same_meaning = new in ACTIVE and old in ACTIVE
    return EventType.STATUS_CHANGED if back_to_created or same_meaning else EVENT_OF[new]


def _data_events(change: Change, policy: EmitPolicy, *, is_creation: bool) -> list[EventDraft]:
    """What is never withheld: thresholds, and another volume or plan; of several plans an event each.

    Where plans have no volumes of their own, the volume of the whole eSIM counts beside them.
    """
    before, after = change.before, change.after
    if len(after.further.plans) < 2:
        return _data_event(change, before, after, policy, is_creation=is_creation)
    known = {plan.id: plan for plan in before.further.plans}
    drafts: list[EventDraft] = []
    if all(plan.total_bytes is None for plan in after.further.plans):
        drafts += _data_event(change, before, after, policy, is_creation=is_creation)
    for plan in after.further.plans:
        drafts += _data_event(change, known.get(plan.id), plan, policy, is_creation=is_creation, plan_id=plan.id)
    return drafts


def _data_event(
    change: Change,
    before: Esim | Plan | None,
    after: Esim | Plan,
    policy: EmitPolicy,
    *,
    is_creation: bool,
    plan_id: str | None = None,
) -> list[EventDraft]:
    thresholds = crossed(before, after, policy.thresholds)
    volume_before = 0 if before is None else before.total_bytes
    moved = not is_creation and volume_before != after.total_bytes
    if not thresholds and not moved and (before is not None or is_creation):
        return []
    added = (after.total_bytes or 0) - volume_before if moved and volume_before is not None else 0
    top_up = (
        TopUp(
            transaction_id=change.top_up_transaction_id or UNSET,
            package_code=change.top_up_package_code or UNSET,
            added_volume=megabytes(added),
        )
        if added > 0
        else None
    )
    return [EventDraft(type=EventType.DATA_UPDATED, thresholds=thresholds, plan_id=plan_id, top_up=top_up)]


def _with_orders(
    drafts: Sequence[EventDraft], ordered: tuple[OpenTopUp, ...]
) -> tuple[tuple[EventDraft, ...], tuple[OpenTopUp, ...]]:
    """Return the events with the order of each top-up that names none itself, and the orders that are still open.

    The first order of the same package is meant, else the first.
    """
    named: list[EventDraft] = []
    for draft in drafts:
        if draft.top_up is None or (order := _order_of(draft.top_up, ordered)) is None:
            named.append(draft)
            continue
        ordered = tuple(one for one in ordered if one != order)
        top_up = msgspec.structs.replace(
            draft.top_up, transaction_id=order.transaction_id, package_code=order.package_code
        )
        named.append(msgspec.structs.replace(draft, top_up=top_up))
    return tuple(named), ordered


def _order_of(top_up: TopUp, ordered: Sequence[OpenTopUp]) -> OpenTopUp | None:
    if top_up.transaction_id is not UNSET:
        return next((one for one in ordered if one.transaction_id == top_up.transaction_id), None)
    same_package = (one for one in ordered if one.package_code == top_up.package_code)
    return next(same_package, ordered[0] if ordered else None)


def _usage_moved(change: Change) -> bool:
    return (change.before.total_bytes, change.before.used_bytes) != (change.after.total_bytes, change.after.used_bytes)


def _pushed_usage_is_due(change: Change, policy: EmitPolicy, now: datetime) -> bool:
    if change.cause not in (Cause.PUSH, Cause.FILL) or not _usage_moved(change):
        return False
    due_at = _usage_is_due_at(change, policy)
    return due_at is None or now >= due_at


def _usage_is_due_at(change: Change, policy: EmitPolicy) -> datetime | None:
    """Return when pushed usage may be emitted again, None where it may at once or there is none."""
    last = change.before.usage_emitted_at
    if last is None or change.cause not in (Cause.PUSH, Cause.FILL) or not _usage_moved(change):
        return None
    return last + timedelta(seconds=policy.usage_interval_s)


def _usage_was_refreshed(change: Change, drafts: Sequence[EventDraft], *, is_creation: bool) -> bool:
    if change.cause is Cause.REQUERY or change.validity_noticed:
        return True
    if is_creation:
        return False
    polled = change.cause in (Cause.POLL, Cause.ORDER_POLL) and _usage_moved(change)
    # What an event of this change reports already needs no second one; a threshold is a matter of its own.
    end_moved = change.before.expire_at != change.after.expire_at
    reported = any(draft.type is not EventType.DATA_UPDATED or draft.top_up is not None for draft in drafts)
    return polled or (end_moved and not reported)


def _changes(pending: Mapping[str, FieldValue], data: EsimData) -> dict[str, FieldChange]:
    """What was emitted last beside what is now, for the fields in which the two differ."""
    if not pending:
        return {}
    present = msgspec.to_builtins(data)
    return {
        name: FieldChange(old=old, new=present.get(name)) for name, old in pending.items() if present.get(name) != old
    }


def envelope(
    event_id: UUID, draft: EventDraft, emission: Emission, *, sequence: int, happened_at: datetime
) -> Envelope:
    """Return the envelope of one event of the emission; `sequence` is its number among the eSIM's events."""
    return Envelope(
        id=text_of(Prefix.EVENT, event_id),
        event=draft.type,
        timestamp=timestamp(happened_at),
        data=emission.data,
        previous_status=emission.previous_status or UNSET,
        new_status=emission.new_status or UNSET,
        changes=emission.changes or UNSET,
        sequence=sequence,
        mode=emission.esim.mode,
        reason=draft.reason or UNSET,
        thresholds=list(draft.thresholds) or UNSET,
        plan_id=draft.plan_id or UNSET,
        top_up=draft.top_up or UNSET,
        replaces=emission.data.replaces if draft.type is EventType.CREATED else UNSET,
        replaced_by=emission.data.replaced_by if draft.type is EventType.SUSPENDED else UNSET,
    )
