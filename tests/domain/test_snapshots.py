"""Snapshots: what a provider answered outranks what was pushed before it was queried."""

from typing import Any

import pytest
from msgspec import UNSET

from esimhooks.server.domain.update import Cause, Identity
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from factories import GB, an_active_esim, an_esim, an_update, apply_update, hours

SNAPSHOTS = pytest.mark.parametrize("cause", [Cause.REQUERY, Cause.FILL, Cause.ORDER_POLL])
AXES = pytest.mark.parametrize(
    ("clock", "field", "kept", "value"),
    [
        pytest.param("status_at", "esim_status", "status", EsimStatus.SUSPENDED, id="eSIM status"),
        pytest.param("smdp_at", "smdp_status", "smdp_status", SmdpStatus.DELETED, id="SM-DP+ status"),
        pytest.param("validity_at", "expire_at", "expire_at", hours(99), id="validity"),
    ],
)


@AXES
@SNAPSHOTS
def test_a_snapshot_is_taken_where_nothing_happened_since_it_was_queried(
    cause: Cause, clock: str, field: str, kept: str, value: object
) -> None:
    update = an_update(cause=cause, occurred_at=hours(2), **{field: value})

    applied = apply_update(an_active_esim(**{clock: hours(1)}), update, received_at=hours(3))

    assert getattr(applied.esim, kept) == value


@AXES
@SNAPSHOTS
def test_a_snapshot_is_stale_where_something_happened_after_asking_began(
    cause: Cause, clock: str, field: str, kept: str, value: object
) -> None:
    esim = an_active_esim(**{clock: hours(2.5)})

    applied = apply_update(esim, an_update(cause=cause, occurred_at=hours(2), **{field: value}), received_at=hours(3))

    assert getattr(applied.esim, kept) == getattr(esim, kept)


@AXES
@SNAPSHOTS
def test_a_snapshot_repairs_a_time_in_the_future(
    cause: Cause, clock: str, field: str, kept: str, value: object
) -> None:
    ahead = an_active_esim(**{clock: hours(9)})

    applied = apply_update(ahead, an_update(cause=cause, occurred_at=hours(2), **{field: value}), received_at=hours(3))

    assert getattr(applied.esim, kept) == value
    assert getattr(applied.esim, clock) == hours(2), "what happens from now on is heard again"


@pytest.mark.parametrize("usage_at", [None, hours(1)])
def test_a_snapshot_repairs_a_time_of_usage_in_the_future(usage_at: Any) -> None:
    ahead = an_active_esim(usage_at=hours(9), used_bytes=5 * GB)
    snapshot = an_update(cause=Cause.REQUERY, occurred_at=hours(2), usage_at=usage_at, used_bytes=GB)

    repaired = apply_update(ahead, snapshot, received_at=hours(3)).esim
    later = apply_update(repaired, an_update(occurred_at=hours(4), used_bytes=2 * GB))

    assert repaired.used_bytes == GB
    assert later.esim.used_bytes == 2 * GB


def test_usage_of_a_snapshot_without_a_time_is_newer_than_all_before_it_was_queried() -> None:
    snapshot = an_update(cause=Cause.REQUERY, occurred_at=hours(3), used_bytes=GB)

    applied = apply_update(an_active_esim(usage_at=hours(1)), snapshot, received_at=hours(3))
    late = apply_update(applied.esim, an_update(occurred_at=hours(2), used_bytes=2 * GB), received_at=hours(4))

    assert (applied.esim.used_bytes, applied.esim.usage_at) == (GB, hours(3))
    assert late.change.outcome == "stale"


def test_late_usage_after_a_requery_rearms_no_threshold() -> None:
    requeried = apply_update(an_active_esim(), an_update(cause=Cause.REQUERY, occurred_at=hours(3), used_bytes=6 * GB))
    late = apply_update(requeried.esim, an_update(occurred_at=hours(2), used_bytes=2 * GB), received_at=hours(4))
    later = apply_update(late.esim, an_update(occurred_at=hours(5), used_bytes=int(6.1 * GB)))

    assert late.events == []
    assert [one.thresholds for one in later.envelopes] == [UNSET]


def test_usage_of_a_snapshot_with_an_older_time_is_stale() -> None:
    snapshot = an_update(cause=Cause.REQUERY, occurred_at=hours(3), usage_at=hours(1), used_bytes=GB)

    applied = apply_update(an_active_esim(usage_at=hours(2)), snapshot, received_at=hours(3))

    assert applied.esim.used_bytes == 0


def test_a_push_that_happened_before_asking_and_comes_after_the_answer_is_stale() -> None:
    answered = apply_update(
        an_active_esim(),
        an_update(cause=Cause.REQUERY, occurred_at=hours(2), esim_status=EsimStatus.SUSPENDED),
        received_at=hours(2.1),
    ).esim

    late = apply_update(answered, an_update(occurred_at=hours(1), esim_status=EsimStatus.IN_USE), received_at=hours(3))

    assert late.change.outcome == "stale"


@SNAPSHOTS
def test_a_snapshot_corrects_what_identifies_the_esim(cause: Cause) -> None:
    update = an_update(cause=cause, occurred_at=hours(1), identity=Identity(esim_tran_no="T2", iccid="8" * 19))

    applied = apply_update(an_esim(), update)

    assert (applied.esim.esim_tran_no, applied.esim.iccid, applied.esim.order_no) == ("T2", "8" * 19, "B1")
