"""The end of the validity where the provider has said nothing (lifecycle, "Time"). Pure."""

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.vocabulary.statuses import EsimStatus

EXPIRES = frozenset(
    {EsimStatus.CREATED, EsimStatus.ACTIVATED, EsimStatus.IN_USE, EsimStatus.SUSPENDED, EsimStatus.USED_UP}
)
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
