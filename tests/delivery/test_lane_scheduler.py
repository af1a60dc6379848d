"""The lanes in the hands of a dispatcher: what may be begun while results wait, and once a lease has ended unnoticed."""

from uuid import UUID

from esimhooks.server.delivery.attempt import Job
from esimhooks.server.delivery.lane_scheduler import LaneScheduler
from esimhooks.server.delivery.lane_state import UNWRITTEN_PER_SLOT, LaneState
from esimhooks.server.domain.breaker import BreakerState
from esimhooks.server.domain.delivery import SUSPECT_AT, Claimed, EndpointTarget
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store.lanes import Lease, Leased

UNTIL = 30.0
CAP = 4


def a_job(endpoint_id: UUID, *, at_once: int = CAP, claims: int = 0) -> Job:
    claimed = Claimed(
        delivery_id=new_id(),
        account_id=new_id(),
        endpoint_id=endpoint_id,
        endpoint_version=1,
        event_id=new_id(),
        event_type="esim.created",
        attempts=0,
        attempts_this_round=0,
        claims=claims,
        ordered=False,
        lease_token=1,
        position=1,
    )
    target = EndpointTarget(
        id=endpoint_id,
        url="https://example.com/hook",
        secrets=(),
        retry_schedule=(0,),
        timeout_s=5,
        max_in_flight=at_once,
        version=1,
    )
    return Job(claimed, target, b"{}")


def a_table(*, jobs: int, at_once: int) -> tuple[LaneScheduler, UUID]:
    scheduler, endpoint_id = LaneScheduler(max_in_flight=CAP, max_in_flight_lane=at_once), new_id()
    scheduler.add_leased([Leased(Lease(endpoint_id, 1), BreakerState())], now=0.0, until=UNTIL)
    scheduler.add([a_job(endpoint_id, at_once=at_once) for _ in range(jobs)], now=0.0)
    return scheduler, endpoint_id


def a_table_with_two_ready() -> tuple[LaneScheduler, UUID]:
    return a_table(jobs=2, at_once=1)


def answer_all_that_begins(scheduler: LaneScheduler) -> list[tuple[LaneState, Job]]:
    """Begin what may begin until nothing more may, each answered at once; nothing is written."""
    answered: list[tuple[LaneState, Job]] = []
    while started := list(scheduler.start_next(now=0.0)):
        for lane, job in started:
            scheduler.answered(lane, job)
            answered.append((lane, job))
    return answered


def begun(scheduler: LaneScheduler, *, now: float) -> int:
    """Begin what may begin, have it answered at once, and return how many there were."""
    started = list(scheduler.start_next(now=now))
    for lane, job in started:
        scheduler.answered(lane, job)
    return len(started)


def test_nothing_is_begun_in_a_lane_whose_lease_has_ended() -> None:
    scheduler, _ = a_table_with_two_ready()

    assert begun(scheduler, now=UNTIL - 0.1) == 1
    assert begun(scheduler, now=UNTIL) == 0


def test_a_lane_whose_lease_is_renewed_in_the_end_goes_on() -> None:
    scheduler, endpoint_id = a_table_with_two_ready()
    assert begun(scheduler, now=UNTIL) == 0

    scheduler.note_renewed({endpoint_id}, until=2 * UNTIL)

    assert begun(scheduler, now=UNTIL) == 1


def test_a_lane_whose_lease_went_to_another_is_forgotten() -> None:
    scheduler, _ = a_table_with_two_ready()

    scheduler.note_renewed(set(), until=2 * UNTIL)

    assert begun(scheduler, now=0.0) == 0
    assert scheduler.lanes == {}


def test_while_results_wait_to_be_written_no_more_is_sent_than_can_be_kept() -> None:
    scheduler, _ = a_table(jobs=20 * CAP, at_once=CAP)

    sent = answer_all_that_begins(scheduler)

    assert UNWRITTEN_PER_SLOT * CAP <= len(sent) < (UNWRITTEN_PER_SLOT + 1) * CAP


def test_once_results_are_written_the_rest_is_sent() -> None:
    scheduler, _ = a_table(jobs=20 * CAP, at_once=CAP)
    sent = 0

    while answered := answer_all_that_begins(scheduler):
        sent += len(answered)
        for lane, job in answered:
            scheduler.written(lane, job, now=0.0)

    assert sent == 20 * CAP


def test_a_suspect_is_sent_once_the_outcome_of_the_one_before_is_written() -> None:
    scheduler, endpoint_id = a_table(jobs=0, at_once=CAP)
    scheduler.add([a_job(endpoint_id, claims=SUSPECT_AT) for _ in range(2)], now=0.0)

    [(lane, job)] = answer_all_that_begins(scheduler)
    scheduler.written(lane, job, now=0.0)

    assert len(answer_all_that_begins(scheduler)) == 1
