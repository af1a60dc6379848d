"""When the next attempt may start: never early, at most a tenth late, and only as often as the schedule has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.schedule import NAMED, PERSISTENT, STANDARD, delay_before

schedules = st.lists(st.integers(0, 172_800), min_size=1, max_size=20)
jitters = st.floats(0, 1)


def test_the_standard_schedule_has_six_attempts_of_which_the_last_comes_after_3_h_21_min() -> None:
    assert STANDARD == (0, 60, 300, 900, 3600, 7200)
    assert sum(STANDARD) == 3 * 3600 + 21 * 60


def test_the_persistent_schedule() -> None:
    hour = 3600
    assert (0, 5, 300, 1800, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour) == PERSISTENT
    assert NAMED == {"standard": STANDARD, "persistent": PERSISTENT}


@given(schedule=schedules, jitter=jitters, data=st.data())
def test_an_attempt_is_never_early_and_at_most_a_tenth_late(
    schedule: list[int], jitter: float, data: st.DataObject
) -> None:
    attempt = data.draw(st.integers(1, len(schedule)))

    delay = delay_before(attempt, schedule, jitter=jitter)

    assert delay is not None
    assert schedule[attempt - 1] <= delay <= schedule[attempt - 1] * 1.1 + 1e-9


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_the_first_attempt_has_no_jitter(jitter: float) -> None:
    assert delay_before(1, (7, 60), jitter=jitter) == 7


def test_chance_spreads_the_later_attempts() -> None:
    assert delay_before(2, STANDARD, jitter=0.0) == 60
    assert delay_before(2, STANDARD, jitter=1.0) == pytest.approx(66)


@given(schedule=schedules, jitter=jitters)
def test_after_the_last_attempt_there_is_none(schedule: list[int], jitter: float) -> None:
    assert delay_before(len(schedule) + 1, schedule, jitter=jitter) is None
