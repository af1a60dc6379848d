"""The transition: an eSIM and an update in, a change out. Pure.

Statuses, usage and each detail are ordered by the time that the provider gives: what is older than the last report
never overwrites it (`docs/concepts.md`, "Repetition and disorder"). Reported in any order, the same facts give the same eSIM.
Where an eSIM takes the place of another, the old one ends.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from msgspec.structs import replace

from esimhooks.server.domain.change import Change, UpdateOutcome
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.plans import MAX_PLANS, MAX_PLANS_BYTES, merge, part_of, totals
from esimhooks.server.domain.reports import MAX_CLOCK_SKEW, Reports, is_same
from esimhooks.server.domain.update import Cause, Doubt, Identity, Update
from esimhooks.server.domain.validity import (
    NOT_YET_ACTIVE,
    apply_terms,
    report_activation,
    report_end,
    report_status,
    terms_of,
)
from esimhooks.vocabulary.statuses import EsimStatus, Reason

TERMINAL = frozenset(
    {
        EsimStatus.CANCEL,
        EsimStatus.REVOKED,
        EsimStatus.USED_EXPIRED,
        EsimStatus.UNUSED_EXPIRED,
        EsimStatus.FAILED,
    }
)
"""Not left again by an update that a provider pushed without a time."""

PROFILE = ("iccid", "ac", "eid", "qr_code_url", "short_url", "imsi", "msisdn")
"""What belongs to the profile: it changes together, where another profile takes the place of the one before."""
DETAILS = ("ac", "qr_code_url", "short_url", "imsi", "msisdn", "apn", "package_code", "package_name", "total_days")
FURTHER = ("throttled", "voice", "sms", "location", "device", "metadata")

ANOTHER_ORDER = Doubt("iccid", "iccid: another profile, but of another order than this eSIM: it is not replaced")

PAST = {"occurred_at": "occurredAt", "usage_at": "lastUsageUpdate"}
"""Times that have passed when they are reported, by their wire names."""


def apply(esim: Esim, update: Update, *, received_at: datetime, now: datetime | None = None) -> Change:
    """Return the change that the update makes. Times are aware UTC, by the database's clock.

    Where the provider gives no time, the arrival decides. An update that arrives now is newer than all that is known;
    `now` is given, later than `received_at`, for one that arrived before others that have been applied meanwhile.
    """
    now = received_at if now is None else now
    update, doubts = _plausible(update, received_at=received_at, now=now)
    reports = Reports(esim, update, received_at=received_at, now=now)
    reports.doubts += doubts
    same_profile = _profile(reports)
    _status(reports)
    _smdp(reports, same_profile=same_profile)
    _usage(reports)
    for name in DETAILS:
        if same_profile or name not in PROFILE:
            reports.report(name, getattr(update, name), update.occurred_at)
    for name in FURTHER:
        reports.report(name, getattr(update, name), update.occurred_at)
    noticed = _validity(reports)
    after = reports.result()
    announced = update.announcement is not None
    changed = noticed or announced or not is_same(esim, after)
    unchanged = UpdateOutcome.STALE if reports.stale and not reports.taken else UpdateOutcome.UNCHANGED
    return Change(
        before=esim,
        after=replace(after, updated_at=now) if changed else after,
        outcome=UpdateOutcome.APPLIED if changed else unchanged,
        cause=update.cause,
        happened_at=update.occurred_at or received_at,
        reason=update.announcement or update.reason,
        validity_noticed=noticed,
        announced=announced,
        top_up_transaction_id=update.top_up_transaction_id,
        top_up_package_code=update.top_up_package_code,
        doubts=(*update.doubts, *reports.doubts),
    )


def lacks_volume(esim: Esim | None, update: Update) -> bool:
    """Whether the update reports a part of a volume that nobody has reported: it cannot be understood."""
    total_known = update.total_bytes is not None or (esim is not None and esim.total_bytes is not None)
    reports_part = update.remaining_bytes is not None or update.used_percent is not None
    return reports_part and update.used_bytes is None and not total_known


def may_leave(esim: Esim, update: Update) -> bool:
    """Whether the update would bring the eSIM back, if its status is terminal: an order that failed is filled no more."""
    if esim.status not in TERMINAL:
        return True
    if update.esim_status is None or update.esim_status in TERMINAL:
        return False
    is_later = update.occurred_at is not None and (esim.status_at is None or update.occurred_at > esim.status_at)
    return is_later or _overrules(update)


def _overrules(update: Update) -> bool:
    """Whether a terminal status binds the update no more, even where it has no time."""
    return update.authoritative or update.by_operator


def _plausible(update: Update, *, received_at: datetime, now: datetime) -> tuple[Update, Sequence[Doubt]]:
    """Return the update without what cannot be: a fact from the future counts as of now, days left follow from the end."""
    ahead = [name for name in PAST if (at := getattr(update, name)) is not None and at > now + MAX_CLOCK_SKEW]
    doubts = [Doubt(PAST[name], f"{PAST[name]} lies in the future: it counts as now") for name in ahead]
    if ahead:
        update = replace(update, **dict.fromkeys(ahead, now))
    if update.validity_days is not None and update.expire_at is not None:
        left = update.expire_at - (update.occurred_at or received_at)
        if abs(left - timedelta(days=update.validity_days)) > timedelta(days=1):
            doubts.append(Doubt("validity_usage_remain", "validity_usage_remain contradicts expiredTime"))
        if update.cause is not Cause.VALIDITY:  # the end says more; only a reminder is of consequence beside it
            update = replace(update, validity_days=None)
    return update, doubts


def _profile(reports: Reports) -> bool:
    """Fill keys that are unknown; return whether the update speaks of the profile that the eSIM has afterwards.

    Another ICCID under the same key and of the same order is another profile: nothing of the one before stays.
    """
    esim, update = reports.esim, reports.update
    identity = update.identity
    if identity.esim_tran_no is not None and (esim.esim_tran_no is None or update.authoritative):
        reports.set(esim_tran_no=identity.esim_tran_no)
    if identity.order_no is not None and (esim.order_no is None or update.authoritative):
        reports.set(order_no=identity.order_no)
    if identity.iccid is None or identity.iccid == esim.iccid:
        return True
    if esim.iccid is None:
        return reports.report("iccid", identity.iccid, update.occurred_at)
    if not _names_same_order(esim, update):
        reports.doubts.append(ANOTHER_ORDER)
        return False
    if not reports.report("iccid", identity.iccid, update.occurred_at):
        return False
    for name in PROFILE[1:]:
        reports.report(name, None, update.occurred_at, clears=True)
    smdp_at = reports.at(update.occurred_at, esim.smdp_at)
    if not reports.is_older(smdp_at, esim.smdp_at):
        reports.set(smdp_status=None, smdp_at=smdp_at, smdp_sequence=None, smdp_unnumbered=False)
    return True


def _names_same_order(esim: Esim, update: Update) -> bool:
    """Whether what an update says of its order is true of the eSIM: its number, or the operator's reference for it."""
    identity = update.identity
    if update.authoritative or (identity.order_no is not None and identity.order_no == esim.order_no):
        return True
    if identity.order_no is not None and esim.order_no is not None:
        return False
    return identity.transaction_id in (None, esim.transaction_id)


def _status(reports: Reports) -> None:
    esim, update = reports.esim, reports.update
    if update.esim_status is None:
        return
    at = reports.at(update.occurred_at, esim.status_at)
    timeless_push = update.occurred_at is None and not _overrules(update)
    if timeless_push and esim.status in TERMINAL and update.esim_status is not esim.status:
        reports.stale = True
        return
    report_status(reports, update.esim_status, at)
    if reports.is_older(at, esim.status_at):
        reports.stale = True
        return
    reports.taken = True
    reports.set(status=update.esim_status, status_at=at)


def _smdp(reports: Reports, *, same_profile: bool) -> None:
    """SM-DP+ statuses of one eUICC are ordered by its own number where there is one; another eUICC starts counting again."""
    esim, update = reports.esim, reports.update
    if not same_profile:
        return
    same_device = update.eid == esim.eid
    if reports.report("eid", update.eid, update.occurred_at) and not same_device:
        reports.set(smdp_sequence=None)
    if update.smdp_status is None:
        return
    at = reports.at(update.occurred_at, esim.smdp_at)
    if update.smdp_sequence is not None and esim.smdp_sequence is not None and same_device:
        overtaken = esim.smdp_unnumbered and reports.is_older(at, esim.smdp_at)
        older = overtaken or update.smdp_sequence <= esim.smdp_sequence
    else:
        older = reports.is_older(at, esim.smdp_at)
    if older:
        reports.stale = True
        return
    reports.taken = True
    numbered = update.smdp_sequence is not None and (same_device or update.eid is not None)
    reports.set(smdp_status=update.smdp_status, smdp_at=at, smdp_unnumbered=not numbered)
    if numbered:
        reports.set(smdp_sequence=update.smdp_sequence)


def _usage(reports: Reports) -> None:
    """Volumes and what is used of them, of the whole eSIM; the sums over its plans count before these."""
    update = reports.update
    as_of = update.usage_at or update.occurred_at
    direct = reports.esim.reported
    if reports.esim.further.plans:
        reports.set(total_bytes=direct.total_bytes, used_bytes=direct.used_bytes)
        reports.set_further(unlimited=direct.unlimited)
    if update.unlimited:
        reports.report("unlimited", True, as_of)
        reports.report("total_bytes", None, as_of, clears=True)
    elif reports.report("total_bytes", update.total_bytes, as_of) or update.unlimited is False:
        reports.report("unlimited", None, as_of, clears=True)
    reports.report("used_bytes", _used(reports), as_of)
    if update.plans:
        _plans(reports, as_of)
    if reports.esim.further.plans:
        _sum_up(reports)
    times = [at for at in (reports.last("total_bytes"), reports.last("used_bytes")) if at is not None]
    times += [at for plan in reports.esim.further.plans for at in plan.reported_at.values()]
    reports.set(usage_at=max(times, default=None))


def _plans(reports: Reports, as_of: datetime | None) -> None:
    known = reports.esim.further.plans
    plans = merge(known, reports.update.plans, time_of=partial(reports.accepted_at, as_of))
    if {plan.id for plan in reports.update.plans} - {plan.id for plan in plans}:
        reports.doubts.append(
            Doubt("plans", f"plans: {MAX_PLANS} and {MAX_PLANS_BYTES} bytes of them are kept, no more")
        )
    reports.stale |= plans == known
    reports.taken |= plans != known
    reports.set_further(plans=plans)


def _sum_up(reports: Reports) -> None:
    esim, sums = reports.esim, totals(reports.esim.further.plans)
    direct = replace(
        terms_of(esim), total_bytes=esim.total_bytes, used_bytes=esim.used_bytes, unlimited=esim.further.unlimited
    )
    known = sums.total_bytes is not None or sums.unlimited
    reports.set(
        reported=direct,
        total_bytes=sums.total_bytes if known else esim.total_bytes,
        used_bytes=esim.used_bytes if sums.used_bytes is None else sums.used_bytes,
    )
    reports.set_further(unlimited=sums.unlimited or None if known else direct.unlimited)


def _used(reports: Reports) -> int | None:
    update = reports.update
    total = reports.esim.total_bytes if update.total_bytes is None else update.total_bytes
    if total is None:
        total = totals(reports.esim.further.plans).total_bytes
    if update.used_bytes is not None or total is None:
        return update.used_bytes
    if update.remaining_bytes is not None:
        return max(0, total - update.remaining_bytes)
    return None if update.used_percent is None else part_of(total, update.used_percent)


def _validity(reports: Reports) -> bool:
    """Activation and end of validity; return whether a reminder of the days left says something new."""
    update, end_before = reports.update, reports.esim.expire_at
    if update.activate_at is not None:
        report_activation(reports, update.activate_at)
    if update.expire_at is not None:
        of_plan = update.activate_at is not None or update.esim_status not in NOT_YET_ACTIVE
        report_end(reports, update.expire_at, update.occurred_at, of_plan=of_plan)
    apply_terms(reports)
    moved = reports.esim.expire_at != end_before
    if moved:
        reports.set(validity_days_noticed=None)
    days_before = reports.esim.validity_days_noticed
    if update.validity_days is None or not reports.report(
        "validity_days_noticed", update.validity_days, update.occurred_at
    ):
        return False
    return moved or update.validity_days != days_before


def superseded(old: Esim, by: UUID, *, now: datetime) -> Change:
    """Return the end of an eSIM in whose place the eSIM `by` is now: `REVOKED`, whatever it was; `now` is aware UTC."""
    end = Update(
        identity=Identity(esim_tran_no=old.esim_tran_no),
        cause=Cause.FILL,
        occurred_at=now,
        esim_status=EsimStatus.REVOKED,
        reason=Reason.REPLACED.value,
    )
    return _with_link(apply(old, end, received_at=now), now, replaced_by=by)


def superseding(change: Change, old: UUID, *, now: datetime) -> Change:
    """Return the change of an eSIM that also says that it takes the place of the eSIM `old`; `now` is aware UTC."""
    return _with_link(change, now, replaces=old)


def _with_link(change: Change, now: datetime, **link: UUID) -> Change:
    after = change.after
    after = replace(after, further=replace(after.further, **link), updated_at=now)
    return replace(change, after=after, outcome=UpdateOutcome.APPLIED)
