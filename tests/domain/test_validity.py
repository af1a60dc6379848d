"""Activation and the end of the validity: which times count, and what the clock does where the provider is silent."""

from datetime import datetime
from typing import Any

import pytest

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.update import Cause
from esimhooks.server.domain.validity import EXPIRES, expiry_of
from esimhooks.vocabulary.envelope import FieldChange
from esimhooks.vocabulary.statuses import EsimStatus
from factories import GB, an_active_esim, an_esim, an_order, an_update, apply_update, days, hours

IN_USE = EsimStatus.IN_USE


def validity(esim: Esim) -> tuple[object, object]:
    return esim.activate_at, esim.expire_at


@pytest.mark.parametrize("status", [EsimStatus.ACTIVATED, EsimStatus.IN_USE])
def test_activation_without_times_counts_from_the_change(status: EsimStatus) -> None:
    applied = apply_update(an_esim(), an_update(occurred_at=days(1), esim_status=status), received_at=days(2))

    assert validity(applied.esim) == (days(1), days(31))
    assert applied.only.data.activate_time == "2026-11-24T12:00:00.000Z"
    assert applied.only.data.expired_time == "2026-12-24T12:00:00.000Z"


@pytest.mark.parametrize(
    ("applied_times", "expected"),
    [
        pytest.param({"activate_at": days(2)}, (days(2), days(32)), id="the provider's activateTime, ours computed"),
        pytest.param({"expire_at": days(9)}, (days(1), days(9)), id="the provider's expiredTime, ours activateTime"),
        pytest.param({"activate_at": days(2), "expire_at": days(9)}, (days(2), days(9)), id="both the provider's"),
        pytest.param({"total_days": 7}, (days(1), days(8)), id="a duration that comes with the activation"),
    ],
)
def test_activation_with_the_providers_times(applied_times: dict[str, Any], expected: tuple[object, object]) -> None:
    applied = apply_update(an_esim(), an_update(occurred_at=days(1), esim_status=IN_USE, **applied_times))

    assert validity(applied.esim) == expected


def test_the_deadline_for_installing_is_replaced_on_activation() -> None:
    applied = apply_update(an_esim(expire_at=days(180)), an_update(occurred_at=days(1), esim_status=IN_USE))

    assert validity(applied.esim) == (days(1), days(31))
    assert applied.only.changes
    assert applied.only.changes["expiredTime"] == FieldChange(
        old="2027-05-22T12:00:00.000Z", new="2026-12-24T12:00:00.000Z"
    )
    assert applied.only.changes["validity_usage_remain"] == FieldChange(old=179, new=30)


@pytest.mark.parametrize("as_of", [days(2), None], ids=["with its time", "without a time"])
@pytest.mark.parametrize(("left", "doubts"), [(3, ["validity_usage_remain"]), (7, []), (8, []), (9, [])])
def test_days_left_that_contradict_the_end_are_a_doubt_and_the_end_counts(
    as_of: datetime | None, left: int, doubts: list[str]
) -> None:
    update = an_update(occurred_at=as_of, expire_at=days(10), validity_days=left)

    applied = apply_update(an_active_esim(), update, received_at=days(2))

    assert [doubt.field for doubt in applied.change.doubts] == doubts
    assert (applied.esim.expire_at, applied.esim.validity_days_noticed) == (days(10), None)


def test_the_deadline_stays_where_the_duration_is_unknown() -> None:
    applied = apply_update(
        an_esim(total_days=None, expire_at=days(180)), an_update(occurred_at=days(1), esim_status=IN_USE)
    )

    assert validity(applied.esim) == (days(1), days(180))


def test_an_end_that_was_reported_after_the_activation_outlives_its_late_arrival() -> None:
    applied = apply_update(an_esim(), an_update(cause=Cause.VALIDITY, occurred_at=days(2), expire_at=days(29))).esim

    late = apply_update(applied, an_update(occurred_at=days(1), esim_status=IN_USE), received_at=days(2.1))

    assert validity(late.esim) == (days(1), days(29))


def test_the_end_is_computed_when_the_duration_becomes_known_after_the_activation() -> None:
    early = apply_update(an_order(), an_update(occurred_at=hours(1), esim_status=IN_USE)).esim
    assert validity(early) == (hours(1), None)

    filled = apply_update(early, an_update(cause=Cause.FILL, occurred_at=hours(2), esim_status=IN_USE, total_days=10))

    assert validity(filled.esim) == (hours(1), hours(1 + 240))


def test_the_deadline_for_installing_is_replaced_where_the_activation_time_came_before_the_status() -> None:
    waiting = an_esim(expire_at=days(180), validity_at=days(0))
    timed = apply_update(waiting, an_update(occurred_at=days(2), activate_at=days(1))).esim

    applied = apply_update(timed, an_update(occurred_at=days(3), esim_status=IN_USE))

    assert validity(applied.esim) == (days(1), days(31))


def test_an_end_reported_between_the_activation_time_and_the_status_stays() -> None:
    waiting = an_esim(expire_at=days(180), validity_at=days(0))
    timed = apply_update(waiting, an_update(occurred_at=days(2), activate_at=days(1), expire_at=days(29))).esim

    applied = apply_update(timed, an_update(occurred_at=days(2), esim_status=IN_USE))

    assert validity(applied.esim) == (days(1), days(29))


@pytest.mark.parametrize(
    ("known", "end"),
    [
        pytest.param({}, days(31), id="no end was known"),
        pytest.param({"expire_at": days(180), "validity_at": days(0)}, days(31), id="the deadline for installing"),
        pytest.param(
            {"expire_at": days(9), "validity_at": days(2)}, days(9), id="an end reported since the activation"
        ),
    ],
)
def test_a_duration_that_is_reported_after_the_activation_gives_the_end(known: dict[str, Any], end: object) -> None:
    active = an_active_esim(**{"total_days": None, "activate_at": days(1), "expire_at": None} | known)

    applied = apply_update(active, an_update(occurred_at=days(3), total_days=30))

    assert validity(applied.esim) == (days(1), end)


def test_a_duration_that_is_reported_before_the_activation_gives_no_end() -> None:
    applied = apply_update(an_esim(total_days=None), an_update(occurred_at=days(1), total_days=7, activate_at=days(2)))

    assert validity(applied.esim) == (days(2), None)


def test_a_second_activation_does_not_begin_the_validity_again() -> None:
    suspended = apply_update(an_active_esim(), an_update(occurred_at=days(3), esim_status=EsimStatus.SUSPENDED)).esim

    applied = apply_update(suspended, an_update(occurred_at=days(5), esim_status=IN_USE))

    assert validity(applied.esim) == validity(an_active_esim())


def test_a_second_activation_keeps_an_extension_that_was_reported_before() -> None:
    extended = apply_update(an_active_esim(), an_update(occurred_at=days(3), expire_at=days(60))).esim

    applied = apply_update(extended, an_update(occurred_at=days(5), esim_status=EsimStatus.ACTIVATED))

    assert validity(applied.esim) == (days(0), days(60))


def test_a_corrected_activation_time_moves_the_end_that_was_computed_from_it() -> None:
    applied = apply_update(an_active_esim(), an_update(occurred_at=days(3), activate_at=hours(-2)))

    assert validity(applied.esim) == (hours(-2), hours(30 * 24 - 2))


def test_an_extension_that_the_provider_reports_moves_the_end() -> None:
    applied = apply_update(an_active_esim(), an_update(occurred_at=days(3), expire_at=days(60)))

    assert applied.esim.expire_at == days(60)


def test_an_older_end_does_not_replace_a_newer_one() -> None:
    extended = apply_update(an_active_esim(), an_update(occurred_at=days(3), expire_at=days(60))).esim

    applied = apply_update(extended, an_update(occurred_at=days(2), expire_at=days(30)), received_at=days(4))

    assert applied.change.outcome == "stale"
    assert applied.esim.expire_at == days(60)


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        pytest.param(
            {"used_bytes": 10 * GB}, EsimStatus.USED_EXPIRED, "data_used_and_validity_ended", id="all data used"
        ),
        pytest.param(
            {"status": EsimStatus.USED_UP, "used_bytes": None},
            EsimStatus.USED_EXPIRED,
            "data_used_and_validity_ended",
            id="reported as used up",
        ),
        pytest.param({"used_bytes": 10 * GB - 1}, EsimStatus.UNUSED_EXPIRED, "unused_data_expired", id="data left"),
        pytest.param({"total_bytes": None}, EsimStatus.EXPIRED, "validity_ended", id="volume unknown"),
        pytest.param({"used_bytes": None}, EsimStatus.EXPIRED, "validity_ended", id="usage unknown"),
    ],
)
def test_at_the_end_the_clock_expires_the_esim(fields: dict[str, Any], status: EsimStatus, reason: str) -> None:
    esim = an_active_esim(**fields)

    applied = apply_update(esim, expiry_of(esim), received_at=days(33))

    assert applied.events == ["expired"]
    assert (applied.only.new_status, applied.only.reason) == (status, reason)
    assert applied.only.timestamp == "2026-12-23T12:00:00.000Z", (
        "the end of the validity, not when the server came to it"
    )
    assert applied.only.data.validity_usage_remain == 0


def test_the_clock_ends_what_can_still_be_used() -> None:
    assert set(EsimStatus) - set(EXPIRES) == {
        EsimStatus.PENDING,
        EsimStatus.CANCEL,
        EsimStatus.REVOKED,
        EsimStatus.EXPIRED,
        EsimStatus.USED_EXPIRED,
        EsimStatus.UNUSED_EXPIRED,
        EsimStatus.FAILED,
    }


def test_what_a_provider_reported_after_the_end_outranks_the_clock() -> None:
    spoken = apply_update(an_active_esim(), an_update(occurred_at=days(30.1), esim_status=IN_USE)).esim

    applied = apply_update(spoken, expiry_of(spoken), received_at=days(30.2))

    assert (applied.events, applied.change.outcome) == ([], "stale")
    assert applied.esim.status is IN_USE


def test_a_provider_that_speaks_after_the_clock_is_heard() -> None:
    esim = an_active_esim()
    expired = apply_update(esim, expiry_of(esim), received_at=days(30)).esim

    applied = apply_update(expired, an_update(occurred_at=days(30.1), esim_status=IN_USE, expire_at=days(60)))

    assert applied.events == ["activated"]
    assert applied.esim.expire_at == days(60)
