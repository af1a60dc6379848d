"""The lanes in the hands of a dispatcher: what may be begun while results wait, and once a lease has ended unnoticed."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esimhooks.server.delivery.attempt import Job
from esimhooks.server.delivery.lane_scheduler import ACCOUNTS_RESERVE, LANES_RESERVE, LaneScheduler
from esimhooks.server.delivery.lane_state import UNWRITTEN_PER_SLOT, LaneState
from esimhooks.server.domain.breaker import BreakerState
from esimhooks.server.domain.delivery import SUSPECT_AT, Claimed, EndpointTarget
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store.lanes import Lease, Leased

UNTIL = 30.0
CAP = 4
ACCOUNT = new_id()


def a_job(endpoint_id: UUID, *, at_once: int = CAP, claims: int = 0, account_id: UUID | None = None) -> Job:
    claimed = Claimed(
        delivery_id=new_id(),
        account_id=account_id or ACCOUNT,
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
    while started := list(scheduler.start_next(now=0.0, limit=1000)):
        for lane, job in started:
            scheduler.on_answered(lane)
            answered.append((lane, job))
    return answered


def begun(scheduler: LaneScheduler, *, now: float) -> int:
    """Begin what may begin, have it answered at once, and return how many there were."""
    started = list(scheduler.start_next(now=now, limit=1000))
    for lane, _ in started:
        scheduler.on_answered(lane)
    return len(started)


def test_nothing_is_begun_in_a_lane_whose_lease_has_ended() -> None:
    scheduler, _ = a_table_with_two_ready()

    assert begun(scheduler, now=UNTIL - 0.1) == 1
    assert begun(scheduler, now=UNTIL) == 0


def test_a_lane_whose_lease_is_renewed_in_the_end_goes_on() -> None:
    scheduler, endpoint_id = a_table_with_two_ready()
    assert begun(scheduler, now=UNTIL) == 0

    scheduler.on_renewed({endpoint_id}, until=2 * UNTIL)

    assert begun(scheduler, now=UNTIL) == 1


def test_a_lane_whose_lease_went_to_another_is_forgotten() -> None:
    scheduler, _ = a_table_with_two_ready()

    scheduler.on_renewed(set(), until=2 * UNTIL)

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
            scheduler.on_written(lane, job, now=0.0)

    assert sent == 20 * CAP


def test_a_suspect_is_sent_once_the_outcome_of_the_one_before_is_written() -> None:
    scheduler, endpoint_id = a_table(jobs=0, at_once=CAP)
    scheduler.add([a_job(endpoint_id, claims=SUSPECT_AT) for _ in range(2)], now=0.0)

    [(lane, job)] = answer_all_that_begins(scheduler)
    scheduler.on_written(lane, job, now=0.0)

    assert len(answer_all_that_begins(scheduler)) == 1


SLOTS = 500
MAX_ALONE = SLOTS - SLOTS // ACCOUNTS_RESERVE - SLOTS // LANES_RESERVE
"""Of lanes above their share, where nobody else has anything to do."""


class Crowd:
    """A dispatcher with 500 slots, and accounts whose endpoints answer when a test says so."""

    def __init__(self) -> None:
        self.scheduler = LaneScheduler(max_in_flight=SLOTS, max_in_flight_lane=20)
        self.in_flight: dict[UUID, list[tuple[LaneState, Job]]] = {}
        self.started = 0

    def add(self, account_id: UUID, *, lanes: int, jobs: int, at_once: int) -> list[UUID]:
        """Make an account's lanes ready, with so many jobs each; return them."""
        endpoint_ids = [new_id() for _ in range(lanes)]
        leased = [Leased(Lease(endpoint_id, 1), BreakerState()) for endpoint_id in endpoint_ids]
        self.scheduler.add_leased(leased, now=0.0, until=UNTIL)
        for endpoint_id in endpoint_ids:
            self.more(account_id, endpoint_id, jobs=jobs, at_once=at_once)
        return endpoint_ids

    def more(self, account_id: UUID, endpoint_id: UUID, *, jobs: int, at_once: int) -> None:
        self.scheduler.add([a_job(endpoint_id, at_once=at_once, account_id=account_id) for _ in range(jobs)], now=0.0)

    def begin(self) -> None:
        for lane, job in self.scheduler.start_next(now=0.0, limit=1000):
            self.started += 1
            self.in_flight.setdefault(job.claimed.account_id, []).append((lane, job))

    def answer(self, account_id: UUID, number: int) -> None:
        """Let the oldest attempts of an account be answered and written, one after the other, and begin what may begin."""
        for _ in range(number):
            lane, job = self.in_flight[account_id].pop(0)
            self.scheduler.on_answered(lane)
            self.scheduler.on_written(lane, job, now=0.0)
            self.begin()

    def number(self, account_id: UUID) -> int:
        return len(self.in_flight.get(account_id, []))


def test_an_account_with_slow_endpoints_leaves_slots_for_one_that_comes_later() -> None:
    crowd, slow, other = Crowd(), new_id(), new_id()
    crowd.add(slow, lanes=4, jobs=400, at_once=200)
    crowd.begin()
    assert crowd.number(slow) == MAX_ALONE

    crowd.add(other, lanes=1, jobs=20, at_once=20)
    crowd.begin()

    assert crowd.number(other) == 20


def test_slots_that_become_free_go_to_accounts_below_their_share_first() -> None:
    crowd, slow, other = Crowd(), new_id(), new_id()
    crowd.add(slow, lanes=4, jobs=400, at_once=200)
    crowd.begin()
    crowd.add(other, lanes=10, jobs=100, at_once=200)
    crowd.begin()

    crowd.answer(slow, 200)

    assert crowd.number(slow) == MAX_ALONE - 200
    assert crowd.number(other) >= 160


def test_whoever_starts_a_few_at_a_time_starts_the_same_in_the_same_order() -> None:
    at_once, one_by_one = Crowd(), Crowd()
    accounts = [new_id() for _ in range(3)]
    for crowd in (at_once, one_by_one):
        for account_id, jobs in zip(accounts, (400, 40, 4), strict=True):
            crowd.add(account_id, lanes=4, jobs=jobs, at_once=200)
    at_once.begin()

    orders = []
    while started := list(one_by_one.scheduler.start_next(now=0.0, limit=1)):
        orders += [job.claimed.account_id for _, job in started]

    assert [orders.count(account_id) for account_id in accounts] == [at_once.number(one) for one in accounts]
    assert orders[:12] == accounts * 4


def test_many_endpoints_get_an_account_no_more_than_one_endpoint_gets_another() -> None:
    crowd, large, small = Crowd(), new_id(), new_id()
    crowd.add(large, lanes=50, jobs=100, at_once=200)
    crowd.add(small, lanes=1, jobs=1000, at_once=500)
    crowd.begin()
    for _ in range(40):
        crowd.answer(large, 10)
        crowd.answer(small, 10)

    assert abs(crowd.number(large) - crowd.number(small)) <= SLOTS // 10


def test_alone_an_account_uses_all_slots_but_the_reserve_and_its_own_lanes_do_not_starve() -> None:
    crowd, account = Crowd(), new_id()
    crowd.add(account, lanes=4, jobs=400, at_once=200)
    crowd.begin()
    crowd.add(account, lanes=1, jobs=10, at_once=10)
    crowd.answer(account, 1)

    quick = [job for lane, job in crowd.in_flight[account] if lane.limit == 10]
    assert len(quick) >= 1


def test_an_account_that_was_passed_over_goes_on_once_the_others_have_finished() -> None:
    crowd, slow, other = Crowd(), new_id(), new_id()
    crowd.add(other, lanes=10, jobs=40, at_once=40)
    crowd.begin()
    crowd.add(slow, lanes=4, jobs=200, at_once=200)
    crowd.begin()
    before = crowd.number(slow)

    crowd.answer(other, crowd.number(other))

    assert crowd.number(slow) > before
    assert crowd.number(slow) == MAX_ALONE


def test_what_is_claimed_is_shared_by_accounts_before_it_is_shared_by_lanes() -> None:
    crowd, large, small = Crowd(), new_id(), new_id()
    many = crowd.add(large, lanes=50, jobs=1, at_once=200)
    [one] = crowd.add(small, lanes=1, jobs=1, at_once=200)
    crowd.begin()

    capacities = {request.lease.endpoint_id: request.capacity for request in crowd.scheduler.claim_requests()}

    assert capacities[one] == 2 * 200
    assert sum(capacities[lane] for lane in many) <= 4 * SLOTS // 2


@settings(max_examples=30)
@given(data=st.data())
def test_every_job_is_started_once_and_never_more_than_the_slots_whatever_comes(data: st.DataObject) -> None:
    crowd, accounts = Crowd(), [new_id() for _ in range(4)]
    added = 0
    for _ in range(data.draw(st.integers(1, 8))):
        account = data.draw(st.sampled_from(accounts))
        if data.draw(st.booleans()) or not crowd.number(account):
            lanes, jobs = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 200))
            crowd.add(account, lanes=lanes, jobs=jobs, at_once=data.draw(st.integers(1, 200)))
            added += lanes * jobs
            crowd.begin()
        else:
            crowd.answer(account, data.draw(st.integers(1, crowd.number(account))))
        assert sum(map(crowd.number, accounts)) <= SLOTS

    while any(map(crowd.number, accounts)):
        for account in accounts:
            crowd.answer(account, crowd.number(account))
    assert crowd.started == added


def a_leased_lane(state: BreakerState = BreakerState(), *, jobs: int = 0) -> tuple[LaneScheduler, UUID]:
    """Return a scheduler whose one lane is leased with so many jobs ready."""
    scheduler, endpoint_id = LaneScheduler(max_in_flight=CAP, max_in_flight_lane=CAP), new_id()
    scheduler.add_leased([Leased(Lease(endpoint_id, 1), state)], now=0, until=UNTIL)
    scheduler.add([a_job(endpoint_id) for _ in range(jobs)], now=0)
    return scheduler, endpoint_id


def test_a_lane_takes_new_deliveries_directly_as_far_as_it_has_room() -> None:
    scheduler, endpoint_id = a_leased_lane(jobs=CAP)

    lane = scheduler.lanes[endpoint_id]
    assert lane.direct_capacity(now=0) == CAP


def test_a_lane_takes_nothing_directly_once_its_lease_has_ended_or_while_it_is_probed_or_closed() -> None:
    probed, probed_id = a_leased_lane(BreakerState(failures=10, allowed=1))
    scheduler, endpoint_id = a_leased_lane()

    lane = scheduler.lanes[endpoint_id]

    assert probed.lanes[probed_id].direct_capacity(now=0) == 0
    assert lane.direct_capacity(now=UNTIL) == 0
    assert lane.direct_capacity(now=0) > 0
    scheduler.close(lane)
    assert lane.direct_capacity(now=0) == 0


def test_what_is_new_does_not_overtake_what_was_due_before() -> None:
    scheduler, endpoint_id = a_leased_lane()
    [request] = scheduler.claim_requests()
    scheduler.on_claimed([request], [a_job(endpoint_id).claimed] * request.capacity)

    assert scheduler.lanes[endpoint_id].direct_capacity(now=0) == 0


@pytest.mark.parametrize("next_is_due", [True, False])
def test_a_lane_looks_for_more_only_where_a_result_made_the_next_delivery_of_an_esim_due(*, next_is_due: bool) -> None:
    scheduler, _ = a_leased_lane(jobs=1)
    [(lane, job)] = scheduler.start_next(now=0, limit=1)
    scheduler.on_answered(lane)

    scheduler.on_written(lane, job, now=0, next_is_due=next_is_due)

    assert lane.wants_more is next_is_due
    assert (lane.direct_capacity(now=0) == 0) is next_is_due
