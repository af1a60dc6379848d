"""What a change tells merchants: a change in, events and the eSIM's bookkeeping out. Pure.

Order of the events of one change: status, data_updated, usage_updated, requeried (lifecycle, "Usage").
"""

from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from esimhooks.server.domain.change import Change, EventDraft
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.thresholds import crossed
from esimhooks.server.domain.transition import ACTIVE
from esimhooks.server.domain.update import Cause
from esimhooks.server.domain.wire import changed_fields, esim_data
from esimhooks.vocabulary.envelope import FieldChange, FieldValue
from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import EsimStatus, Reason

UNBORN = frozenset({None, EsimStatus.PENDING})

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
    held = before.held | _not_held(before, changed_fields(esim_data(before, now=now), data)) if known else {}
    changes = _changes(held, data)
    drafts = tuple(_drafts(change, policy, now))
    if drafts:
        told = {EventType.DATA_UPDATED, EventType.USAGE_UPDATED} & {draft.type for draft in drafts}
        esim = msgspec.structs.replace(
            after,
            sequence=after.sequence + len(drafts),
            held={},
            usage_told_at=now if told else after.usage_told_at,
        )
    else:
        esim = msgspec.structs.replace(after, held={name: told.old for name, told in changes.items()})
    moved = before.status is not after.status
    return Emission(
        esim=esim,
        data=data,
        drafts=drafts,
        changes=changes if drafts else {},
        previous_status=before.status if moved else None,
        new_status=after.status if moved else None,
    )


def _drafts(change: Change, policy: EmitPolicy, now: datetime) -> list[EventDraft]:
    drafts: list[EventDraft] = []
    status = _status_event(change)
    if status is not None:
        drafts.append(status)
    thresholds = crossed(change.before, change.after, policy.thresholds)
    if thresholds:
        drafts.append(EventDraft(type=EventType.DATA_UPDATED, thresholds=thresholds))
    elif _pushed_usage_is_due(change, policy, now):
        drafts.append(EventDraft(type=EventType.DATA_UPDATED))
    if _usage_was_refreshed(change):
        drafts.append(EventDraft(type=EventType.USAGE_UPDATED))
    if change.cause is Cause.REQUERY:
        drafts.append(EventDraft(type=EventType.REQUERIED))
    return drafts


def _status_event(change: Change) -> EventDraft | None:
    old, new = change.before.status, change.after.status
    if new is not None and new is not old:
        event = _event_of_status(old, new)
        reasoned = event in (EventType.SUSPENDED, EventType.EXPIRED)
        reason = (change.reason or REASON_OF[new]) if reasoned else None
        return None if event is None else EventDraft(type=event, reason=reason)
    if change.before.smdp_status is not change.after.smdp_status:
        return EventDraft(type=EventType.STATUS_CHANGED)
    return None


def _event_of_status(old: EsimStatus | None, new: EsimStatus) -> EventType | None:
    if new is EsimStatus.PENDING:
        return None if old is None else EventType.STATUS_CHANGED
    back_to_created = new is EsimStatus.CREATED and old not in UNBORN
    same_meaning = new in ACTIVE and old in ACTIVE
    return EventType.STATUS_CHANGED if back_to_created or same_meaning else EVENT_OF[new]


def _figures(esim: Esim) -> tuple[int | None, int | None]:
    return esim.total_bytes, esim.used_bytes


def _figures_moved(change: Change) -> bool:
    """Figures that come before or with an eSIM's birth are told by its first status event."""
    told_at_birth = change.before.status in UNBORN and change.after.status is not None
    return not told_at_birth and _figures(change.before) != _figures(change.after)


def _pushed_usage_is_due(change: Change, policy: EmitPolicy, now: datetime) -> bool:
    if change.cause not in (Cause.PUSH, Cause.FILL) or not _figures_moved(change):
        return False
    last = change.before.usage_told_at
    return last is None or now - last >= timedelta(seconds=policy.usage_interval_s)


def _usage_was_refreshed(change: Change) -> bool:
    if change.cause in (Cause.POLL, Cause.ORDER_POLL):
        return _figures_moved(change)
    return change.cause is Cause.REQUERY or change.validity_noticed


def _not_held(before: Esim, changed: dict[str, FieldValue]) -> dict[str, FieldValue]:
    return {name: old for name, old in changed.items() if name not in before.held}


def _changes(held: dict[str, FieldValue], data: EsimData) -> dict[str, FieldChange]:
    """What was told last beside what is now, for the fields in which the two differ."""
    if not held:
        return {}
    present = msgspec.to_builtins(data)
    return {name: FieldChange(old=old, new=present[name]) for name, old in held.items() if present[name] != old}
