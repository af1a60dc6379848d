"""Thresholds in percent of the volume: all at once, once each, armed again by a top-up and by usage that falls."""

import pytest
from msgspec import UNSET

from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.update import Cause
from factories import GB, an_active_esim, an_update, apply_update, apply_updates, hours

ONLY_THRESHOLDS = EmitPolicy(usage_interval_s=1_000_000)
"""Pushed usage that crosses nothing is pending after the first time."""


def test_the_default_thresholds() -> None:
    assert EmitPolicy().thresholds == (25, 50, 75, 90, 100)


@pytest.mark.parametrize("percent", [25, 50, 75, 90, 100])
def test_a_threshold_is_crossed_when_it_is_reached(percent: int) -> None:
    just_below = an_active_esim(total_bytes=10_000, used_bytes=percent * 100 - 1, usage_emitted_at=hours(0))

    applied = apply_update(
        just_below, an_update(occurred_at=hours(1), used_bytes=percent * 100), policy=ONLY_THRESHOLDS
    )

    assert applied.events == ["data_updated"]
    assert applied.only.thresholds == [percent]


def test_just_below_a_threshold_nothing_is_crossed() -> None:
    applied = apply_update(
        an_active_esim(total_bytes=10_000, used_bytes=0),
        an_update(occurred_at=hours(1), used_bytes=2_499),
        policy=ONLY_THRESHOLDS,
    )

    assert applied.only.thresholds is UNSET


def test_thresholds_that_are_crossed_at_once_come_in_one_event_in_ascending_order() -> None:
    applied = apply_update(
        an_active_esim(),
        an_update(occurred_at=hours(1), used_bytes=8 * GB),
        policy=EmitPolicy(thresholds=(75, 25, 50, 90)),
    )

    assert applied.events == ["data_updated"]
    assert applied.only.thresholds == [25, 50, 75]


def test_usage_beyond_the_volume_crosses_the_last_threshold() -> None:
    applied = apply_update(an_active_esim(used_bytes=9 * GB), an_update(occurred_at=hours(1), used_bytes=11 * GB))

    assert applied.only.thresholds == [100]
    assert applied.only.data.data_usage_remain == 0


@pytest.mark.parametrize(
    ("cause", "events"),
    [
        (Cause.PUSH, ["data_updated"]),
        (Cause.FILL, ["data_updated"]),
        (Cause.POLL, ["data_updated", "usage_updated"]),
        (Cause.REQUERY, ["data_updated", "usage_updated", "requeried"]),
    ],
)
def test_a_threshold_is_emitted_by_whatever_source_and_besides_usage_updated(cause: Cause, events: list[str]) -> None:
    applied = apply_update(an_active_esim(), an_update(cause=cause, occurred_at=hours(1), used_bytes=5 * GB))

    assert applied.events == events
    assert [one.thresholds for one in applied.envelopes] == [[25, 50]] + [UNSET] * (len(events) - 1)


def test_a_threshold_fires_once() -> None:
    used = [3 * GB, 3 * GB, 4 * GB]

    applied = apply_updates(
        an_active_esim(), [an_update(occurred_at=hours(n), used_bytes=one) for n, one in enumerate(used, 1)]
    )

    assert [one.thresholds for step in applied for one in step.envelopes] == [[25], UNSET]


def test_a_top_up_arms_the_thresholds_above_the_new_percentage_again() -> None:
    applied = apply_updates(
        an_active_esim(used_bytes=6 * GB),
        [
            an_update(occurred_at=hours(1), used_bytes=10 * GB),
            an_update(occurred_at=hours(2), total_bytes=20 * GB),
            an_update(occurred_at=hours(3), used_bytes=16 * GB),
        ],
    )

    assert [step.only.thresholds for step in applied] == [[75, 90, 100], UNSET, [75]]


def test_usage_that_falls_arms_the_thresholds_above_the_new_percentage_again() -> None:
    applied = apply_updates(
        an_active_esim(),
        [
            an_update(occurred_at=hours(1), used_bytes=6 * GB),
            an_update(occurred_at=hours(2), used_bytes=3 * GB),
            an_update(occurred_at=hours(3), used_bytes=6 * GB),
        ],
    )

    assert [step.only.thresholds for step in applied] == [[25, 50], UNSET, [50]]


def test_a_volume_that_shrinks_crosses_thresholds() -> None:
    applied = apply_update(an_active_esim(used_bytes=2 * GB), an_update(occurred_at=hours(1), total_bytes=4 * GB))

    assert applied.only.thresholds == [25, 50]


@pytest.mark.parametrize("fields", [{"total_bytes": None}, {"total_bytes": 0}, {"used_bytes": None}])
def test_without_volume_or_usage_nothing_is_crossed(fields: dict[str, object]) -> None:
    applied = apply_update(an_active_esim(**fields), an_update(occurred_at=hours(1), apn="internet"))

    assert applied.events == []


def test_stale_usage_crosses_nothing() -> None:
    applied = apply_update(
        an_active_esim(usage_at=hours(2)), an_update(occurred_at=hours(1), used_bytes=9 * GB), received_at=hours(3)
    )

    assert applied.events == []


def test_the_operators_own_thresholds_are_used() -> None:
    applied = apply_update(
        an_active_esim(), an_update(occurred_at=hours(1), used_bytes=9 * GB), policy=EmitPolicy(thresholds=(80, 95))
    )

    assert applied.only.thresholds == [80]
