"""Which usage raises which events: every row of the table of usage, and the order of one change's events."""

import pytest
from msgspec import UNSET

from esimhooks.server.domain.plans import Plan
from esimhooks.server.domain.update import Cause
from esimhooks.vocabulary.envelope import FieldChange, TopUp
from esimhooks.vocabulary.statuses import EsimStatus, PlanState, SmdpStatus
from factories import EVERY_CHANGE, GB, an_active_esim, an_esim, an_order, an_update, apply_update, days, hours


def test_pushed_usage_is_data_updated() -> None:
    applied = apply_update(an_active_esim(), an_update(occurred_at=hours(1), used_bytes=GB))

    assert applied.events == ["data_updated"]
    assert applied.only.thresholds is UNSET
    assert (applied.only.data.data_usage, applied.only.data.data_usage_remain) == (1024, 9216)
    assert applied.only.changes == {
        "dataUsage": FieldChange(old=0, new=1024),
        "data_usage_remain": FieldChange(old=10240, new=9216),
        "lastUsageUpdate": FieldChange(old="2026-11-23T12:00:00.000Z", new="2026-11-23T13:00:00.000Z"),
    }


def test_a_top_up_is_data_updated() -> None:
    applied = apply_update(an_active_esim(), an_update(occurred_at=hours(1), total_bytes=20 * GB))

    assert applied.events == ["data_updated"]
    assert applied.only.data.total_volume == 20480


def test_plans_without_volumes_leave_the_volume_of_the_whole_esim_to_count() -> None:
    plans = (Plan(id="1", state=PlanState.ACTIVE), Plan(id="2", state=PlanState.QUEUED))
    listed = apply_update(an_active_esim(), an_update(occurred_at=hours(1), plans=plans))
    used = apply_update(listed.esim, an_update(occurred_at=hours(2), used_bytes=8 * GB))
    topped_up = apply_update(used.esim, an_update(occurred_at=hours(3), total_bytes=20 * GB))

    assert used.only.thresholds == [25, 50, 75]
    assert topped_up.only.top_up == TopUp(added_volume=10240)


def test_a_poll_that_brought_other_figures_is_usage_updated() -> None:
    applied = apply_update(an_active_esim(), an_update(cause=Cause.POLL, usage_at=hours(1), used_bytes=GB))

    assert applied.events == ["usage_updated"]


def test_a_poll_that_brought_the_same_figures_is_nothing() -> None:
    applied = apply_update(
        an_active_esim(), an_update(cause=Cause.POLL, usage_at=hours(1), used_bytes=0, total_bytes=10 * GB)
    )

    assert applied.events == []


def test_a_polled_order_that_brought_other_figures_is_usage_updated() -> None:
    applied = apply_update(an_active_esim(), an_update(cause=Cause.ORDER_POLL, occurred_at=hours(1), used_bytes=GB))

    assert applied.events == ["usage_updated"]


def test_a_validity_notification_is_usage_updated() -> None:
    applied = apply_update(an_active_esim(), an_update(cause=Cause.VALIDITY, occurred_at=days(29), validity_days=1))

    assert applied.events == ["usage_updated"]
    assert applied.only.data.validity_usage_remain == 1


def test_a_validity_notification_is_raised_once_per_content() -> None:
    notice = an_update(cause=Cause.VALIDITY, occurred_at=days(27), validity_days=3)
    first = apply_update(an_active_esim(), notice)
    repeated = apply_update(first.esim, an_update(cause=Cause.VALIDITY, occurred_at=days(27.1), validity_days=3))
    next_day = apply_update(repeated.esim, an_update(cause=Cause.VALIDITY, occurred_at=days(28), validity_days=2))
    extended = apply_update(
        next_day.esim, an_update(cause=Cause.VALIDITY, occurred_at=days(29), validity_days=2, expire_at=days(31))
    )

    assert [one.events for one in (first, repeated, next_day, extended)] == [
        ["usage_updated"],
        [],
        ["usage_updated"],
        ["usage_updated"],
    ]


def test_a_validity_notification_that_is_stale_is_not_raised_with_the_rest_of_its_update() -> None:
    noticed = apply_update(
        an_active_esim(), an_update(cause=Cause.VALIDITY, occurred_at=days(28), validity_days=2)
    ).esim
    late = an_update(cause=Cause.VALIDITY, occurred_at=days(27), validity_days=3, used_bytes=GB, usage_at=days(27))

    assert apply_update(noticed, late, received_at=days(28.1)).events == []


def test_the_same_days_left_are_news_again_after_the_validity_was_extended() -> None:
    noticed = apply_update(
        an_active_esim(), an_update(cause=Cause.VALIDITY, occurred_at=days(27), validity_days=3)
    ).esim
    extended = apply_update(noticed, an_update(occurred_at=days(28), expire_at=days(60))).esim

    applied = apply_update(extended, an_update(cause=Cause.VALIDITY, occurred_at=days(57), validity_days=3))

    assert applied.events == ["usage_updated"]


def test_the_same_days_left_are_news_again_after_the_activation() -> None:
    waiting = an_esim(expire_at=days(180))
    noticed = apply_update(waiting, an_update(cause=Cause.VALIDITY, occurred_at=days(150), validity_days=30)).esim
    active = apply_update(noticed, an_update(occurred_at=days(151), esim_status=EsimStatus.IN_USE)).esim

    applied = apply_update(active, an_update(cause=Cause.VALIDITY, occurred_at=days(151), validity_days=30))

    assert applied.events == ["usage_updated"]


@pytest.mark.parametrize(
    ("fields", "events"),
    [
        pytest.param({}, ["usage_updated", "requeried"], id="where nothing changed"),
        pytest.param({"used_bytes": GB}, ["usage_updated", "requeried"], id="where usage changed"),
        pytest.param(
            {"esim_status": EsimStatus.SUSPENDED},
            ["suspended", "usage_updated", "requeried"],
            id="where the status changed",
        ),
        pytest.param(
            {"smdp_status": SmdpStatus.DISABLED},
            ["status_changed", "usage_updated", "requeried"],
            id="where the profile's status changed",
        ),
        pytest.param(
            {"esim_status": EsimStatus.USED_UP, "used_bytes": 10 * GB},
            ["expired", "data_updated", "usage_updated", "requeried"],
            id="in the order status, data, usage, requeried",
        ),
    ],
)
def test_a_requery_is_emitted_to_the_end(fields: dict[str, object], events: list[str]) -> None:
    applied = apply_update(an_active_esim(), an_update(cause=Cause.REQUERY, occurred_at=hours(1), **fields))

    assert applied.events == events


def test_a_requery_that_is_stale_on_every_axis_is_emitted_all_the_same() -> None:
    update = an_update(cause=Cause.REQUERY, occurred_at=hours(-1), esim_status=EsimStatus.CREATED)

    applied = apply_update(an_active_esim(status_at=hours(0)), update, received_at=hours(1))

    assert applied.change.outcome == "stale"
    assert applied.events == ["usage_updated", "requeried"]
    assert applied.envelopes[-1].data.esim_status is EsimStatus.IN_USE


def test_all_events_of_one_change_agree_and_are_numbered() -> None:
    update = an_update(cause=Cause.REQUERY, occurred_at=hours(1), esim_status=EsimStatus.USED_UP, used_bytes=10 * GB)

    applied = apply_update(an_active_esim(sequence=7), update)

    assert applied.events == ["expired", "data_updated", "usage_updated", "requeried"]
    assert [one.sequence for one in applied.envelopes] == [8, 9, 10, 11]
    assert [(one.previous_status, one.new_status) for one in applied.envelopes] == [
        (EsimStatus.IN_USE, EsimStatus.USED_UP)
    ] * 4
    assert all(one.changes == applied.envelopes[0].changes for one in applied.envelopes)
    assert all(one.data == applied.envelopes[0].data for one in applied.envelopes)
    assert applied.envelopes[0].changes


@pytest.mark.parametrize("cause", [Cause.PUSH, Cause.FILL])
def test_the_figures_of_a_birth_are_emitted_by_its_first_status_event(cause: Cause) -> None:
    birth = an_update(
        cause=cause, occurred_at=hours(1), esim_status=EsimStatus.CREATED, total_bytes=10 * GB, used_bytes=0
    )

    applied = apply_update(an_order(status=EsimStatus.PENDING), birth)

    assert applied.events == ["created"]
    assert applied.only.data.total_volume == 10240


def test_a_threshold_that_was_crossed_before_the_birth_is_emitted_besides() -> None:
    birth = an_update(
        cause=Cause.FILL, occurred_at=hours(1), esim_status=EsimStatus.IN_USE, total_bytes=10 * GB, used_bytes=3 * GB
    )

    applied = apply_update(an_order(), birth)

    assert applied.events == ["activated", "data_updated"]
    assert applied.envelopes[1].thresholds == [25]


def test_usage_of_an_esim_without_a_status_says_what_changed_from_the_second_time_on() -> None:
    first = apply_update(an_order(), an_update(occurred_at=hours(1), total_bytes=10 * GB, used_bytes=0))
    second = apply_update(first.esim, an_update(occurred_at=hours(2), used_bytes=GB))

    assert first.only.changes is UNSET
    assert second.only.changes is not UNSET
    assert second.only.changes["dataUsage"] == FieldChange(old=0, new=1024)


def test_what_came_before_the_first_event_is_no_change() -> None:
    named = apply_update(an_order(), an_update(occurred_at=hours(1), package_name="Spain 5GB")).esim

    applied = apply_update(named, an_update(occurred_at=hours(2), esim_status=EsimStatus.CREATED), policy=EVERY_CHANGE)

    assert applied.only.changes is UNSET
    assert applied.only.data.package_name == "Spain 5GB"


def test_the_end_by_the_clock_raises_no_usage_event() -> None:
    update = an_update(cause=Cause.CLOCK, occurred_at=days(30), esim_status=EsimStatus.UNUSED_EXPIRED)

    assert apply_update(an_esim(), update).events == ["expired"]
