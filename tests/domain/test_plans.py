"""The plans of an eSIM: each member counts by its own time, and the figures of the eSIM follow from them."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec import UNSET

from esimhooks.server.domain.esim import Esim, Further, OpenTopUp
from esimhooks.server.domain.plans import Plan, Totals, totals
from esimhooks.server.domain.update import Cause, Identity
from esimhooks.vocabulary.statuses import PlanState
from factories import GB, an_active_esim, an_update, apply_update, apply_updates, days, hours

ACTIVE, QUEUED, DEPLETED, EXPIRED = PlanState.ACTIVE, PlanState.QUEUED, PlanState.DEPLETED, PlanState.EXPIRED


def a_plan(plan_id: str = "p1", **fields: Any) -> Plan:
    return Plan(id=plan_id, **fields)


def with_plans(*plans: Plan, **fields: Any) -> Esim:
    """An active eSIM whose plans were reported an hour after noon, and emitted."""
    bare = an_active_esim(total_bytes=None, used_bytes=None, usage_at=None, **fields)
    return apply_update(bare, an_update(plans=plans, occurred_at=hours(1))).esim


FULL = a_plan(name="Europe", state=ACTIVE, total_bytes=4 * GB, used_bytes=GB, activate_at=hours(0), expire_at=days(7))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "Asia"),
        ("state", DEPLETED),
        ("total_bytes", 8 * GB),
        ("used_bytes", 2 * GB),
        ("activate_at", hours(0.5)),
        ("expire_at", days(8)),
    ],
)
def test_what_a_report_leaves_out_of_a_plan_stays(name: str, value: Any) -> None:
    [after] = apply_update(
        with_plans(FULL), an_update(plans=(a_plan(**{name: value}),), occurred_at=hours(2))
    ).esim.further.plans

    for one in ("name", "state", "total_bytes", "used_bytes", "activate_at", "expire_at"):
        assert getattr(after, one) == (value if one == name else getattr(FULL, one))


def test_an_older_report_of_a_plan_fills_what_is_unknown_and_overwrites_nothing() -> None:
    esim = with_plans(a_plan(state=ACTIVE, used_bytes=2 * GB))

    late = apply_update(
        esim,
        an_update(plans=(a_plan(used_bytes=GB, total_bytes=4 * GB),), occurred_at=hours(0.5)),
        received_at=hours(2),
    )
    stale = apply_update(
        late.esim, an_update(plans=(a_plan(used_bytes=GB),), occurred_at=hours(0.6)), received_at=hours(2)
    )

    [plan] = stale.esim.further.plans
    assert (plan.used_bytes, plan.total_bytes) == (2 * GB, 4 * GB)
    assert (late.change.outcome, stale.change.outcome, stale.events) == ("applied", "stale", [])


def test_reports_of_one_time_are_decided_by_arrival() -> None:
    applied = apply_update(with_plans(FULL), an_update(plans=(a_plan(used_bytes=3 * GB),), occurred_at=hours(1)))

    assert applied.esim.used_bytes == 3 * GB


def test_a_report_of_a_plan_without_a_time_is_later_than_one_whose_clock_was_ahead() -> None:
    ahead = apply_update(
        with_plans(FULL), an_update(plans=(a_plan(used_bytes=2 * GB),), occurred_at=hours(2.05)), received_at=hours(2)
    )

    later = apply_update(ahead.esim, an_update(plans=(a_plan(used_bytes=3 * GB),)), received_at=hours(2.01))
    last = apply_update(
        later.esim, an_update(plans=(a_plan(used_bytes=GB),), occurred_at=hours(2.02)), received_at=hours(2.03)
    )

    assert (later.change.outcome, later.esim.used_bytes) == ("applied", 3 * GB)
    assert (last.change.outcome, last.esim.used_bytes) == ("stale", 3 * GB)


def test_a_snapshot_repairs_a_plans_time_that_has_yet_to_come() -> None:
    ahead = with_plans(a_plan(state=ACTIVE, used_bytes=2 * GB, reported_at={}))
    snapshot = an_update(cause=Cause.REQUERY, plans=(a_plan(used_bytes=GB),), occurred_at=hours(0.5))

    applied = apply_update(ahead, snapshot, received_at=hours(0.6))

    assert applied.esim.used_bytes == GB


def test_the_end_of_a_plan_that_is_over_does_not_outlive_it_in_a_row_of_an_earlier_release() -> None:
    plan = a_plan("p1", state=ACTIVE, expire_at=days(7), reported_at={"state": hours(1), "expire_at": hours(1)})
    stored = an_active_esim(total_days=None, expire_at=days(7), further=Further(plans=(plan,)))
    plans = (a_plan("p1", state=DEPLETED), a_plan("p2", state=ACTIVE))

    assert apply_update(stored, an_update(plans=plans, occurred_at=hours(2))).esim.expire_at is None


@pytest.mark.parametrize(
    ("plans", "expected"),
    [
        pytest.param([], Totals(None, None, False, None), id="none"),
        pytest.param(
            [
                a_plan("a", state=ACTIVE, total_bytes=5, used_bytes=1, expire_at=days(2)),
                a_plan("b", state=ACTIVE, total_bytes=7, used_bytes=2, expire_at=days(1)),
                a_plan("c", state=QUEUED, total_bytes=9, used_bytes=0, expire_at=days(9)),
            ],
            Totals(12, 3, False, days(2)),
            id="those that are active",
        ),
        pytest.param(
            [
                a_plan("a", state=QUEUED, total_bytes=5),
                a_plan("b", total_bytes=7, used_bytes=2),
                a_plan("c", state=DEPLETED, total_bytes=9, used_bytes=9, expire_at=days(9)),
            ],
            Totals(12, 2, False, None),
            id="where none is active, those that are not over",
        ),
        pytest.param(
            [a_plan("a", state=EXPIRED, total_bytes=5, used_bytes=4), a_plan("b", state=DEPLETED, total_bytes=7)],
            Totals(12, 4, False, None),
            id="where all are over, all",
        ),
        pytest.param(
            [a_plan("a", state=ACTIVE, unlimited=True, used_bytes=3), a_plan("b", state=ACTIVE, total_bytes=7)],
            Totals(None, 3, True, None),
            id="one without limit has no volume",
        ),
        pytest.param(
            [a_plan("a", state=ACTIVE, unlimited=False, total_bytes=0, used_bytes=0)],
            Totals(0, 0, False, None),
            id="a volume of nothing is a volume",
        ),
    ],
)
def test_the_figures_of_an_esim_are_the_sums_over_its_plans(plans: list[Plan], expected: Totals) -> None:
    assert totals(plans) == expected


def test_a_plan_that_gets_a_volume_is_no_longer_unlimited() -> None:
    unlimited = with_plans(a_plan(state=ACTIVE, unlimited=True, used_bytes=GB))

    limited = apply_update(unlimited, an_update(plans=(a_plan(total_bytes=2 * GB),), occurred_at=hours(2))).esim

    assert (unlimited.further.unlimited, unlimited.total_bytes) == (True, None)
    assert (limited.further.unlimited, limited.total_bytes, limited.used_bytes) == (None, 2 * GB, GB)


def test_what_is_reported_of_the_esim_counts_where_its_plans_have_no_figures() -> None:
    esim = with_plans(a_plan("p1", state=ACTIVE, total_bytes=4 * GB, used_bytes=GB))

    over = apply_update(
        esim, an_update(plans=(a_plan("p1", state=DEPLETED), a_plan("p2", state=ACTIVE)), occurred_at=hours(2))
    )
    reported = apply_update(over.esim, an_update(total_bytes=2 * GB, used_bytes=0, occurred_at=hours(3)))

    assert (over.esim.total_bytes, over.esim.used_bytes) == (None, None)
    assert (reported.esim.total_bytes, reported.esim.used_bytes) == (2 * GB, 0)


@pytest.mark.parametrize("part", [{"remaining_bytes": GB // 2}, {"used_percent": Decimal(75)}])
def test_what_is_left_of_the_whole_esim_counts_against_the_volumes_of_its_plans(part: dict[str, Any]) -> None:
    two = with_plans(a_plan("p1", total_bytes=GB), a_plan("p2", total_bytes=GB))

    esim = apply_update(two, an_update(occurred_at=hours(2), **part)).esim

    assert (esim.total_bytes, esim.used_bytes) == (2 * GB, 3 * GB // 2)


def test_each_of_several_plans_has_events_of_its_own() -> None:
    first, second = a_plan("p1", state=ACTIVE, total_bytes=GB, used_bytes=0), a_plan("p2", state=ACTIVE, total_bytes=GB)

    applied = apply_updates(
        with_plans(first),
        [
            an_update(plans=(second,), occurred_at=hours(2)),
            an_update(plans=(a_plan("p2", used_bytes=GB // 2),), occurred_at=hours(3)),
            an_update(plans=(a_plan("p1", used_bytes=GB // 2),), occurred_at=hours(4)),
        ],
    )

    added, crossed, other = [one.only for one in applied]
    assert (added.plan_id, added.top_up and added.top_up.added_volume) == ("p2", 1024)
    assert (crossed.plan_id, crossed.thresholds, crossed.top_up) == ("p2", [25, 50], UNSET)
    assert (other.plan_id, other.thresholds) == ("p1", [25, 50])


def test_the_only_plan_is_not_named() -> None:
    applied = apply_update(with_plans(FULL), an_update(plans=(a_plan(used_bytes=2 * GB),), occurred_at=hours(2)))

    assert (applied.only.plan_id, applied.only.thresholds) == (UNSET, [50])


ORDERED = (OpenTopUp("top-1", "P3"), OpenTopUp("top-2", "P3"), OpenTopUp("top-3", "P9"))


@pytest.mark.parametrize(
    ("reported", "named", "left"),
    [
        pytest.param({}, "top-1", ["top-2", "top-3"], id="the first"),
        pytest.param({"top_up_package_code": "P9"}, "top-3", ["top-1", "top-2"], id="the first of the package"),
        pytest.param({"top_up_package_code": "P7"}, "top-1", ["top-2", "top-3"], id="no order of the package"),
        pytest.param({"top_up_transaction_id": "top-2"}, "top-2", ["top-1", "top-3"], id="the one that is named"),
        pytest.param({"top_up_transaction_id": "other"}, "other", ["top-1", "top-2", "top-3"], id="another one"),
    ],
)
def test_a_volume_that_is_added_names_its_order(reported: dict[str, Any], named: str, left: list[str]) -> None:
    esim = an_active_esim(further=Further(open_top_ups=ORDERED))

    applied = apply_update(esim, an_update(total_bytes=20 * GB, occurred_at=hours(2), **reported))

    assert applied.only.top_up
    assert applied.only.top_up.transaction_id == named
    assert [one.transaction_id for one in applied.esim.further.open_top_ups] == left


def test_events_without_a_new_volume_leave_ordered_top_ups_open() -> None:
    esim = an_active_esim(further=Further(open_top_ups=ORDERED))

    applied = apply_update(esim, an_update(used_bytes=GB, occurred_at=hours(2)))

    assert applied.esim.further.open_top_ups == ORDERED
    assert applied.only.top_up is UNSET


def test_what_names_an_esim_for_the_first_time_is_no_event() -> None:
    applied = apply_update(
        an_active_esim(iccid=None),
        an_update(identity=Identity(esim_tran_no="T1", iccid="8943000000123456785"), occurred_at=hours(2)),
    )

    assert (applied.esim.iccid, applied.events) == ("8943000000123456785", [])
