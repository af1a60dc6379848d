"""Activation and the end of validity: what was reported of them, and the times that follow. Pure.

The activation is the provider's, else the earliest active status that is known. The end is the provider's, else the
activation plus the duration. An end that was reported before the activation is the deadline for installing. Where the
provider says nothing, the clock ends the eSIM.
"""

from datetime import datetime, timedelta

from msgspec.structs import replace

from esimhooks.server.domain.esim import NOTHING_REPORTED, Esim, Reported
from esimhooks.server.domain.plans import totals
from esimhooks.server.domain.reports import Reports
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.vocabulary.statuses import EsimStatus

ACTIVE = frozenset({EsimStatus.ACTIVATED, EsimStatus.IN_USE})
NOT_YET_ACTIVE = frozenset({None, EsimStatus.PENDING, EsimStatus.CREATED})


def report_status(reports: Reports, status: EsimStatus, at: datetime) -> None:
    """Take note of a status and its time, which may be older than the present one."""
    if status in NOT_YET_ACTIVE:
        return
    known = terms_of(reports.esim)
    first = known.first_active_at
    if status in ACTIVE:
        first = at if first is None else min(first, at)
    reports.set(reported=replace(known, activated=True, first_active_at=first))


def report_activation(reports: Reports, activate_at: datetime) -> None:
    """Offer the provider's own time of activation."""
    known = terms_of(reports.esim)
    if reports.accepts("activate_at", reports.update.occurred_at):
        reports.set(reported=replace(known, reported_activation=activate_at))


def report_end(reports: Reports, end: datetime, as_of: datetime | None, *, of_plan: bool) -> None:
    """Offer the provider's own end of validity; `of_plan` says that it is no deadline for installing."""
    known = terms_of(reports.esim)
    if reports.accepts("expire_at", as_of):
        reports.set(reported=replace(known, end=end, of_plan=of_plan), validity_at=reports.last("expire_at"))


def apply_terms(reports: Reports) -> None:
    """Bring activation and end up to date with all that is known."""
    esim, known = reports.esim, terms_of(reports.esim)
    activate_at = known.reported_activation or known.first_active_at
    end = totals(esim.further.plans).expire_at if esim.further.plans else None
    end = end or _end(known, activate_at if known.activated else None, esim.total_days, esim.validity_at)
    reports.set(activate_at=activate_at, expire_at=end)


def terms_of(esim: Esim) -> Reported:
    """Return what is known of the validity; of a row of an earlier release what its times say."""
    if esim.reported != NOTHING_REPORTED:
        return esim.reported
    computed = esim.activate_at is not None and esim.validity_at is None and esim.total_days is not None
    return Reported(
        activated=esim.status not in NOT_YET_ACTIVE,
        first_active_at=esim.activate_at,
        end=None if computed or esim.further.plans else esim.expire_at,
        of_plan=esim.validity_at is not None and esim.activate_at is not None and esim.validity_at >= esim.activate_at,
    )


def _end(
    known: Reported, activate_at: datetime | None, total_days: int | None, reported_at: datetime | None
) -> datetime | None:
    after_activation = reported_at is not None and activate_at is not None and reported_at >= activate_at
    if known.end is not None and (known.of_plan or after_activation):
        return known.end
    if activate_at is None or total_days is None:
        return known.end
    return activate_at + timedelta(days=total_days)


EXPIRES = (EsimStatus.CREATED, EsimStatus.ACTIVATED, EsimStatus.IN_USE, EsimStatus.SUSPENDED, EsimStatus.USED_UP)
"""Statuses that the clock ends."""


def expiry_of(esim: Esim) -> Update:
    """Return the update that the end of validity is, dated at that end; the eSIM must have one.

    Used up data gives `USED_EXPIRED`, data left `UNUSED_EXPIRED`, unknown volume `EXPIRED`.
    """
    return Update(
        identity=Identity(esim_tran_no=esim.esim_tran_no),
        cause=Cause.CLOCK,
        occurred_at=esim.expire_at,
        esim_status=_status_at_the_end(esim),
    )


def _status_at_the_end(esim: Esim) -> EsimStatus:
    if esim.status is EsimStatus.USED_UP:
        return EsimStatus.USED_EXPIRED
    if esim.total_bytes is None or esim.used_bytes is None:
        return EsimStatus.EXPIRED
    if esim.used_bytes >= esim.total_bytes:
        return EsimStatus.USED_EXPIRED
    return EsimStatus.UNUSED_EXPIRED
