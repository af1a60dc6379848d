"""Replacement: an eSIM takes the place of another (lifecycle, "Orders, replacement, refund"). Pure.

The eSIM that is replaced comes in, with the id of the one that replaces it; its end goes out. The new one's link is a
change beside what is reported of it.
"""

from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from esimhooks.server.domain.change import Change, UpdateOutcome
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.transition import apply
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.vocabulary.statuses import EsimStatus, Reason


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
