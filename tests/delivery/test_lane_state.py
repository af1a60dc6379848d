"""A lane in the hands of a dispatcher: how much is claimed while the database is slow to write."""

from esimhooks.server.delivery.lane_state import UNWRITTEN_PER_SLOT, LaneState
from esimhooks.server.domain.breaker import BreakerState
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store.lanes import Lease

CAP = 20


def a_lane() -> LaneState:
    lane = LaneState(Lease(new_id(), 1), BreakerState(), max_in_flight=CAP, now=0.0, leased_until=30.0)
    lane.more = True
    return lane


def sent(lane: LaneState, count: int) -> None:
    """Have so many attempts begin and get their answers, of which none is written."""
    for _ in range(count):
        lane.begin(now=0.0)
        lane.in_flight -= 1


def test_nothing_more_is_taken_up_while_many_outcomes_wait_to_be_written() -> None:
    lane = a_lane()

    sent(lane, UNWRITTEN_PER_SLOT * CAP - 1)
    before = lane.wants_claim, lane.wants_more
    sent(lane, 1)

    assert before == (True, True)
    assert (lane.wants_claim, lane.wants_more) == (False, False)


def test_more_is_taken_up_once_outcomes_are_written() -> None:
    lane = a_lane()
    sent(lane, UNWRITTEN_PER_SLOT * CAP)

    lane.on_written(next_is_due=False, now=0.0)

    assert (lane.wants_claim, lane.wants_more) == (True, True)


def test_attempts_in_flight_are_not_counted_as_waiting_to_be_written() -> None:
    lane = a_lane()

    for _ in range(CAP):
        lane.begin(now=0.0)

    assert lane.wants_claim
