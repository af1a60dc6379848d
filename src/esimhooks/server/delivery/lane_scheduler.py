"""Schedules the leased lanes of one dispatcher: what is ready in each, what is in flight, which is next. No I/O.

Lanes take turns, one delivery each. A lane that may not start another (its maximum in flight, its rate limit) leaves the
rotation and rejoins it once it may, so choosing the next costs the same however many lanes there are.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from heapq import heappop, heappush
from uuid import UUID

from esimhooks.server.delivery.attempt import Job
from esimhooks.server.delivery.lane_state import UNWRITTEN_PER_SLOT, LaneState
from esimhooks.server.domain.delivery import Claimed, is_suspect
from esimhooks.server.store.lanes import Leased
from esimhooks.server.store.queue import ClaimRequest

READY_PER_SLOT = 4
"""How many deliveries may be ready, over all lanes, for each that may be in flight; bounds memory."""

RESERVE = 20
"""One slot in so many is reserved for lanes below their share, so that hanging lanes cannot take all."""


class LaneScheduler:
    """All leased lanes, within the maximum of each lane and of the process.

    A lane has the maximum of its endpoint; `max_in_flight_lane` applies until the endpoint is known.
    """

    def __init__(self, *, max_in_flight: int, max_in_flight_lane: int) -> None:
        self.lanes: dict[UUID, LaneState] = {}
        self._max_in_flight = max_in_flight
        self._max_in_flight_lane = max_in_flight_lane
        self._turns: deque[LaneState] = deque()
        self._aside: list[tuple[float, int, LaneState]] = []
        self._busy: set[LaneState] = set()
        self._ready = 0
        self._in_flight = 0
        self._unwritten = 0
        self._suspect_in_flight = False

    def add_leased(self, leased: Sequence[Leased], *, now: float, until: float) -> None:
        """Add lanes leased `until`; one that was leased before is replaced."""
        self.drop([one.lease.endpoint_id for one in leased])
        for one in leased:
            self.lanes[one.lease.endpoint_id] = LaneState(
                one.lease, one.breaker, max_in_flight=self._max_in_flight_lane, now=now, leased_until=until
            )

    def note_renewed(self, endpoint_ids: Collection[UUID], *, until: float) -> None:
        """Record that these leases were renewed, and drop all other lanes."""
        for endpoint_id in endpoint_ids:
            lane = self.lanes[endpoint_id]
            lane.leased_until = until
            self._line_up(lane)
        self.drop([endpoint_id for endpoint_id in self.lanes if endpoint_id not in endpoint_ids])

    def drop(self, endpoint_ids: Sequence[UUID]) -> None:
        """Drop lanes whose lease ended; their attempts in flight finish and will not count."""
        for endpoint_id in endpoint_ids:
            lane = self.lanes.pop(endpoint_id, None)
            if lane is not None:
                self.close(lane)

    def claim_requests(self) -> list[ClaimRequest]:
        """Return how many deliveries to claim for each lane that is worth a claim: equal shares of the room that is left.

        Where there is not enough room for all, lanes whose last claim is longest ago come first.
        """
        wants_claim = [lane for lane in self.lanes.values() if lane.wants_claim]
        left = READY_PER_SLOT * self._max_in_flight - self._ready
        if not wants_claim or left <= 0:
            return []
        share = max(1, left // len(wants_claim))
        chosen = wants_claim[:left]
        if len(chosen) < len(wants_claim):
            for lane in chosen:
                self.lanes[lane.lease.endpoint_id] = self.lanes.pop(lane.lease.endpoint_id)
        return [ClaimRequest(lane.lease, min(share, lane.room)) for lane in chosen]

    def give_up(self, count: int | None = None) -> list[Job]:
        """Give up the lanes leased longest, at shutdown all, so that others get them; return their jobs that were not started."""
        chosen = [lane for lane in self.lanes.values() if count is None or not lane.retiring]
        return [job for lane in chosen[:count] for job in self.close(lane)]

    def note_claimed(self, requests: Sequence[ClaimRequest], claimed: Sequence[Claimed]) -> bool:
        """Record which lanes got all they requested and so may have more due; true where one has room now."""
        got = Counter(one.endpoint_id for one in claimed)
        for request in requests:
            lane = self.lanes.get(request.lease.endpoint_id)
            if lane is not None:
                lane.more = got[request.lease.endpoint_id] >= request.room
        return any(lane.wants_more for lane in self.lanes.values())

    def add(self, jobs: Sequence[Job], *, now: float) -> None:
        """Make jobs ready in their lanes; those of lanes that are closed or no longer leased are left to the next leaseholder."""
        for job in jobs:
            lane = self.lanes.get(job.claimed.endpoint_id)
            if lane is None or lane.closed or lane.lease.token != job.claimed.lease_token:
                continue
            lane.use_target(job.target, now=now)
            if is_suspect(job.claimed):
                lane.suspects.append(job)
            else:
                lane.ready.append(job)
            self._ready += 1
            self._busy.add(lane)
            self._line_up(lane)

    def start_next(self, *, now: float) -> Iterator[tuple[LaneState, Job]]:
        """Yield the jobs to start now, one of each lane in turn, while maxima and rate limits allow."""
        while self._aside and self._aside[0][0] <= now:
            lane = heappop(self._aside)[2]
            lane.in_turn = False
            self._line_up(lane)
        while self._turns and self._has_slot:
            lane = self._turns.popleft()
            lane.in_turn = False
            if lane.leased_until <= now or not self._may_begin(lane):
                continue  # `hold_on` or `answered` puts it back in turn
            if lane.next_start > now:
                heappush(self._aside, (lane.next_start, id(lane), lane))
                lane.in_turn = True
                continue
            job = self._pick(lane)
            if job is None:
                continue
            lane.begin(now=now)
            self._ready -= 1
            self._in_flight += 1
            self._line_up(lane)
            yield lane, job

    @property
    def next_turn_at(self) -> float | None:
        """When the first lane that waits for its rate limit may continue, None where none waits."""
        return self._aside[0][0] if self._aside else None

    def close(self, lane: LaneState) -> list[Job]:
        """Start nothing more in a lane whose endpoint is gone or cooling down, or whose lease is lost; return what was ready."""
        jobs = [*lane.ready, *lane.suspects]
        self._ready -= len(jobs)
        lane.ready.clear()
        lane.suspects.clear()
        lane.closed = lane.retiring = True
        if not lane.in_flight:
            self._busy.discard(lane)
        return jobs

    def answered(self, lane: LaneState, job: Job) -> None:
        """Free the slot of an attempt whose outcome is known but not written yet."""
        lane.in_flight -= 1
        self._in_flight -= 1
        self._unwritten += 1
        self._line_up(lane)
        if not lane.in_flight and not lane.waiting:
            self._busy.discard(lane)

    def written(self, lane: LaneState, job: Job, *, now: float) -> None:
        """Record that an outcome is written or given up; only then may the next suspect start.

        A suspect might end this process, and an unwritten outcome would then count against an innocent delivery.
        """
        self._unwritten -= 1
        lane.note_written(ordered=job.claimed.ordered, now=now)
        if is_suspect(job.claimed):
            self._suspect_in_flight = False
            for other in self._busy:
                if other.suspects:
                    self._line_up(other)

    @property
    def _has_slot(self) -> bool:
        return self._in_flight < self._max_in_flight and self._unwritten < UNWRITTEN_PER_SLOT * self._max_in_flight

    def _may_begin(self, lane: LaneState) -> bool:
        """Return whether the lane is below its limit, and below its equal share where only the reserve is left."""
        if lane.in_flight >= lane.limit:
            return False
        if self._in_flight < self._max_in_flight - self._max_in_flight // RESERVE:
            return True
        return lane.in_flight < max(1, self._max_in_flight // len(self._busy))

    def _line_up(self, lane: LaneState) -> None:
        if lane.waiting and not lane.in_turn:
            lane.in_turn = True
            self._turns.append(lane)

    def _pick(self, lane: LaneState) -> Job | None:
        if lane.ready:
            return lane.ready.popleft()
        if lane.suspects and not self._suspect_in_flight:
            self._suspect_in_flight = True
            return lane.suspects.popleft()
        return None
