"""What an answer means: every row of the table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.delivery import DeliveryStatus, Outcome, OutcomeClass, Verdict
from esimhooks.server.domain.schedule import STANDARD
from esimhooks.server.domain.verdict import FAULT_RETRY_S, judge
from factories import NOON

DAY_S = 86_400
RETRIED = sorted(set(OutcomeClass) - {OutcomeClass.OK, OutcomeClass.GONE, OutcomeClass.INTERNAL})


def verdict(
    outcome: OutcomeClass, *, attempt: int = 1, jitter: float = 0.0, retry_after_s: float | None = None, faults: int = 0
) -> Verdict:
    what = Outcome(outcome=outcome, started_at=NOON, duration_ms=5, retry_after_s=retry_after_s)
    return judge(what, attempt=attempt, schedule=STANDARD, jitter=jitter, faults=faults)


def test_faults_of_ours_in_a_row_are_put_off_for_longer_each_time_up_to_five_minutes() -> None:
    delays = [verdict(OutcomeClass.INTERNAL, faults=faults).delay_s for faults in (0, 1, 2, 5, 6, 10_000)]

    assert delays == [5, 10, 20, 160, 300, 300]


@pytest.mark.parametrize("attempt", [1, 6])
def test_2xx_is_delivered(attempt: int) -> None:
    assert verdict(OutcomeClass.OK, attempt=attempt) == Verdict(status=DeliveryStatus.DELIVERED)


@pytest.mark.parametrize("attempt", [1, 6])
def test_410_stops_the_delivery_and_the_endpoint(attempt: int) -> None:
    assert verdict(OutcomeClass.GONE, attempt=attempt) == Verdict(status=DeliveryStatus.STOPPED, endpoint_gone=True)


@pytest.mark.parametrize("outcome", RETRIED)
def test_anything_else_is_tried_again_by_the_schedule(outcome: OutcomeClass) -> None:
    delays = [verdict(outcome, attempt=attempt).delay_s for attempt in range(1, 6)]

    assert delays == [60, 300, 900, 3600, 7200]
    assert verdict(outcome) == Verdict(status=DeliveryStatus.PENDING, delay_s=60)


@pytest.mark.parametrize("outcome", RETRIED)
def test_after_the_sixth_attempt_the_delivery_has_failed(outcome: OutcomeClass) -> None:
    assert verdict(outcome, attempt=6) == Verdict(status=DeliveryStatus.FAILED)
    assert verdict(outcome, attempt=6, retry_after_s=10).status is DeliveryStatus.FAILED


@pytest.mark.parametrize("outcome", [OutcomeClass.TOO_MANY, OutcomeClass.SERVER_ERROR])
@pytest.mark.parametrize(
    ("requested_s", "delay_s"),
    [
        pytest.param(120, 120, id="later than the schedule is granted"),
        pytest.param(10, 60, id="earlier than the schedule is not"),
        pytest.param(0, 60, id="at once is not"),
        pytest.param(7 * DAY_S, DAY_S, id="at most 24 h"),
    ],
)
def test_retry_after_postpones(outcome: OutcomeClass, requested_s: float, delay_s: float) -> None:
    assert verdict(outcome, retry_after_s=requested_s).delay_s == delay_s


@given(attempt=st.integers(1, 5), jitter=st.floats(0, 1), requested_s=st.none() | st.floats(0, 10 * DAY_S))
def test_no_answer_makes_an_attempt_early(attempt: int, jitter: float, requested_s: float | None) -> None:
    delay = verdict(OutcomeClass.TOO_MANY, attempt=attempt, jitter=jitter, retry_after_s=requested_s).delay_s

    assert delay is not None
    assert delay >= max(STANDARD[attempt], min(requested_s or 0, DAY_S))


@pytest.mark.parametrize("attempt", [1, 6, 20])
@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_a_fault_of_ours_uses_up_no_attempt(attempt: int, jitter: float) -> None:
    ours = verdict(OutcomeClass.INTERNAL, attempt=attempt, jitter=jitter)

    assert (ours.status, ours.counts) == (DeliveryStatus.PENDING, False)
    assert ours.delay_s is not None
    assert FAULT_RETRY_S <= ours.delay_s <= 2 * FAULT_RETRY_S


def test_everything_but_a_fault_of_ours_counts() -> None:
    assert all(verdict(outcome).counts for outcome in set(OutcomeClass) - {OutcomeClass.INTERNAL})
