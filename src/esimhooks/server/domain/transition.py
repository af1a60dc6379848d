"""The transition: an eSIM and an update in, a change out. Pure.

Three axes are ordered separately by the provider's time: eSIM status, SM-DP+ status, usage. An update that is older
than the last one applied on its axis changes nothing there (lifecycle, "Disorder and repetition").
"""

from datetime import datetime, timedelta
from enum import Enum, auto

import msgspec

from esimhooks.server.domain.change import Change, UpdateOutcome
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.update import Cause, Update
from esimhooks.vocabulary.statuses import EsimStatus

ACTIVE = frozenset({EsimStatus.ACTIVATED, EsimStatus.IN_USE})
TERMINAL = frozenset(
    {
        EsimStatus.CANCEL,
        EsimStatus.REVOKED,
        EsimStatus.USED_EXPIRED,
        EsimStatus.UNUSED_EXPIRED,
        EsimStatus.FAILED,
    }
)
"""Not left again by an update that was pushed and carries no time."""

NOT_YET_ACTIVE = frozenset({None, EsimStatus.PENDING, EsimStatus.CREATED})

KEYS = ("esim_tran_no", "order_no", "iccid")
DETAILS = ("imsi", "msisdn", "ac", "qr_code_url", "short_url", "apn", "package_code", "package_name", "total_days")
CLOCKS = ("status_at", "smdp_at", "smdp_sequence", "smdp_unnumbered", "usage_at", "validity_at", "updated_at")
"""Fields that order updates; moving them alone is no change that anybody is told of."""

Fields = dict[str, object]


class Axis(Enum):
    """How an update fared on one axis."""

    SILENT = auto()
    STALE = auto()
    TAKEN = auto()


def apply(esim: Esim, update: Update, *, received_at: datetime) -> Change:
    """Return the change that the update makes. `received_at` (aware UTC) stands in where the provider gave no time."""
    axes: list[Axis] = []
    fields: Fields = {}
    for consult in (_status_axis, _smdp_axis, _usage_axis, _validity_axis):
        axis, told = consult(esim, update, received_at)
        axes.append(axis)
        fields |= told
    happened_at = update.occurred_at or received_at
    if Axis.STALE in axes and Axis.TAKEN not in axes:
        return Change(
            before=esim,
            after=esim,
            outcome=UpdateOutcome.STALE,
            cause=update.cause,
            happened_at=happened_at,
            reason=update.reason,
        )

    fields = _details(esim, update) | _late_duration(esim, update, fields) | fields
    after = msgspec.structs.replace(esim, **fields)
    noticed = update.cause is Cause.VALIDITY and axes[-1] is Axis.TAKEN and _is_news(esim, update)
    changed = noticed or _without_clocks(after) != _without_clocks(esim)
    return Change(
        before=esim,
        after=msgspec.structs.replace(after, updated_at=received_at) if changed else after,
        outcome=UpdateOutcome.APPLIED if changed else UpdateOutcome.UNCHANGED,
        cause=update.cause,
        happened_at=happened_at,
        reason=update.reason,
        validity_noticed=noticed,
    )


def _status_axis(esim: Esim, update: Update, received_at: datetime) -> tuple[Axis, Fields]:
    status = update.esim_status
    if status is None:
        return Axis.SILENT, {}
    at = update.occurred_at or received_at
    if _is_older(update, at, esim.status_at, received_at):
        return Axis.STALE, {}
    timeless_push = update.occurred_at is None and not update.authoritative
    if timeless_push and esim.status in TERMINAL and status is not esim.status:
        return Axis.STALE, {}
    fields: Fields = {"status": status, "status_at": at}
    begins = esim.status in NOT_YET_ACTIVE or esim.activate_at is None or esim.expire_at is None
    if status in ACTIVE and begins:
        fields |= _activation(esim, update, at)
    return Axis.TAKEN, fields


def _activation(esim: Esim, update: Update, at: datetime) -> Fields:
    """The end of validity that was told before activation is the deadline for installing, not the plan's end."""
    activate_at = update.activate_at or esim.activate_at or at
    total_days = update.total_days or esim.total_days
    fields: Fields = {"activate_at": activate_at}
    if total_days is not None and not _end_is_known(esim, activated_at=at):
        fields |= _end(activate_at, total_days)
    return fields


def _late_duration(esim: Esim, update: Update, fields: Fields) -> Fields:
    """A duration that is told after the activation gives the end, unless the provider has told that."""
    active = fields.get("status", esim.status) not in NOT_YET_ACTIVE
    if update.total_days is None or update.total_days == esim.total_days or esim.activate_at is None or not active:
        return {}
    return {} if _end_is_known(esim, activated_at=esim.activate_at) else _end(esim.activate_at, update.total_days)


def _end_is_known(esim: Esim, *, activated_at: datetime) -> bool:
    """Whether the provider has told an end since the activation; one told before is the deadline for installing."""
    if esim.expire_at is None or esim.validity_at is None:
        return False
    return esim.validity_at > activated_at or (esim.activate_at is not None and esim.validity_at >= esim.activate_at)


def _end(activate_at: datetime, total_days: int) -> Fields:
    return {"expire_at": activate_at + timedelta(days=total_days), "validity_days_noticed": None}


def _smdp_axis(esim: Esim, update: Update, received_at: datetime) -> tuple[Axis, Fields]:
    if update.smdp_status is None:
        return Axis.SILENT, _device(esim, update)
    at = update.occurred_at or received_at
    same_device = update.eid == esim.eid
    if update.smdp_sequence is not None and esim.smdp_sequence is not None and same_device:
        overtaken = esim.smdp_unnumbered and _is_older(update, at, esim.smdp_at, received_at)
        older = overtaken or update.smdp_sequence <= esim.smdp_sequence
    else:
        older = _is_older(update, at, esim.smdp_at, received_at)
    if older:
        return Axis.STALE, {}
    numbered = update.smdp_sequence is not None and (same_device or update.eid is not None)
    told: Fields = {"smdp_status": update.smdp_status, "smdp_at": at, "smdp_unnumbered": not numbered}
    if numbered:
        told["smdp_sequence"] = update.smdp_sequence
    return Axis.TAKEN, _device(esim, update) | told


def _device(esim: Esim, update: Update) -> Fields:
    """Another eUICC counts its notifications anew."""
    if update.eid is None or update.eid == esim.eid:
        return {}
    return {"eid": update.eid, "smdp_sequence": None}


def _usage_axis(esim: Esim, update: Update, received_at: datetime) -> tuple[Axis, Fields]:
    used_bytes = _used(esim, update)
    if update.total_bytes is None and used_bytes is None:
        return Axis.SILENT, {}
    at = update.occurred_at or received_at
    told_at = update.usage_at if update.authoritative else update.usage_at or at
    if told_at is not None and _is_older(update, told_at, esim.usage_at, received_at):
        return Axis.STALE, {}
    if told_at is None and esim.usage_at is not None and esim.usage_at > received_at:
        told_at = at
    fields: Fields = {}
    if told_at is not None:
        # A snapshot without a time of its usage must not outrank a reading that is on its way: usage lags by hours.
        fields["usage_at"] = told_at
    if update.total_bytes is not None:
        fields["total_bytes"] = update.total_bytes
    if used_bytes is not None:
        fields["used_bytes"] = used_bytes
    return Axis.TAKEN, fields


def lacks_volume(esim: Esim | None, update: Update) -> bool:
    """Whether the update tells what remains of a volume that nobody has told: it cannot be understood."""
    total_known = update.total_bytes is not None or (esim is not None and esim.total_bytes is not None)
    return update.remaining_bytes is not None and update.used_bytes is None and not total_known


def _used(esim: Esim, update: Update) -> int | None:
    total_bytes = esim.total_bytes if update.total_bytes is None else update.total_bytes
    if update.used_bytes is not None or update.remaining_bytes is None or total_bytes is None:
        return update.used_bytes
    return max(0, total_bytes - update.remaining_bytes)


def _validity_axis(esim: Esim, update: Update, received_at: datetime) -> tuple[Axis, Fields]:
    if update.expire_at is None and update.activate_at is None and update.cause is not Cause.VALIDITY:
        return Axis.SILENT, {}
    at = update.occurred_at or received_at
    if _is_older(update, at, esim.validity_at, received_at):
        return Axis.STALE, {}
    fields: Fields = {}
    if update.activate_at is not None:
        fields["activate_at"] = update.activate_at
    if update.expire_at is not None or update.cause is Cause.VALIDITY:
        # A time of activation alone says nothing of the end, whose time this is.
        fields["validity_at"] = at
    if update.expire_at is not None:
        fields["expire_at"] = update.expire_at
        if update.expire_at != esim.expire_at:
            fields["validity_days_noticed"] = None
    if update.cause is Cause.VALIDITY:
        fields["validity_days_noticed"] = update.validity_days
    return Axis.TAKEN, fields


def _is_older(update: Update, at: datetime, last_at: datetime | None, received_at: datetime) -> bool:
    """A snapshot outranks all that was told before it was asked for, whatever times that carried."""
    if last_at is None:
        return False
    if update.authoritative:
        return at < last_at <= received_at
    return at < last_at


def _is_news(esim: Esim, update: Update) -> bool:
    same_end = update.expire_at is None or update.expire_at == esim.expire_at
    return not same_end or update.validity_days != esim.validity_days_noticed


def _details(esim: Esim, update: Update) -> Fields:
    fields: Fields = {}
    for name in KEYS:
        told = getattr(update.identity, name)
        if told is not None and (update.authoritative or getattr(esim, name) is None):
            fields[name] = told
    for name in DETAILS:
        told = getattr(update, name)
        if told is not None:
            fields[name] = told
    return fields


def _without_clocks(esim: Esim) -> Esim:
    return msgspec.structs.replace(esim, updated_at=esim.created_at, **dict.fromkeys(CLOCKS[:-1]))
