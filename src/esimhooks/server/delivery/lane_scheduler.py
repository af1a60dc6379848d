"""The lanes that one dispatcher holds: what is ready in each, what is in flight, whose turn it is. No I/O.

Lanes take turns, one delivery each. A lane that may not begin another now (its max_in_flight, its rate limit) stands aside and
lines up again once it may, so that choosing the next costs the same however many lanes there are.
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
"""How many deliveries may be ready, over all lanes, for each that may be in flight: bounds the memory."""

RESERVE = 20
"""One slot in so many is kept for lanes that have less than their share, so that lanes that hang cannot take all."""


class LaneScheduler:
    """All lanes held, up to each lane's max_in_flight and the process's.

    A lane has the max_in_flight of its endpoint; `max_in_flight_lane` is what it is taken for until the endpoint is known.
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
        """Add lanes that were leased `until`; one that was held before is held anew."""
        self.drop([one.lease.endpoint_id for one in leased])
        for one in leased:
            self.lanes[one.lease.endpoint_id] = LaneState(
                one.lease, one.breaker, max_in_flight=self._max_in_flight_lane, now=now, leased_until=until
            )

    def note_renewed(self, endpoint_ids: Collection[UUID], *, until: float) -> None:
        """Note that the leases of these lanes were renewed, and forget all others."""
        for endpoint_id in endpoint_ids:
            lane = self.lanes[endpoint_id]
            lane.leased_until = until
            self._line_up(lane)
        self.drop([endpoint_id for endpoint_id in self.lanes if endpoint_id not in endpoint_ids])

    def drop(self, endpoint_ids: Sequence[UUID]) -> None:
        """Forget lanes whose lease ended; what is in flight of them finishes and will not count."""
        for endpoint_id in endpoint_ids:
            lane = self.lanes.pop(endpoint_id, None)
            if lane is not None:
                self.close(lane)

    def claim_requests(self) -> list[ClaimRequest]:
        """Return how much each lane has room for, where that is worth a question; an equal share each of what is left.

        Where there is not enough left for all, those that were asked for longest ago come first.
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
        """Give up the lanes held longest, all at shutdown, so that others get them; return what was not begun of them."""
        chosen = [lane for lane in self.lanes.values() if count is None or not lane.retiring]
        return [job for lane in chosen[:count] for job in self.close(lane)]

    def note_claimed(self, requests: Sequence[ClaimRequest], claimed: Sequence[Claimed]) -> bool:
        """Note which lanes got all they wished for and so may have more; true where one has room at once."""
        got = Counter(one.endpoint_id for one in claimed)
        for request in requests:
            lane = self.lanes.get(request.lease.endpoint_id)
            if lane is not None:
                lane.more = got[request.lease.endpoint_id] >= request.room
        return any(lane.wants_more for lane in self.lanes.values())

    def add(self, jobs: Sequence[Job], *, now: float) -> None:
        """Make jobs ready in their lanes; those of a lane that is closed or no longer held are left to its next holder."""
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
        """Yield the jobs to begin now, one of each lane in turn, while the max_in_flights and the rate limits allow."""
        while self._aside and self._aside[0][0] <= now:
            lane = heappop(self._aside)[2]
            lane.in_turn = False
            self._line_up(lane)
        while self._turns and self._has_slot:
            lane = self._turns.popleft()
            lane.in_turn = False
            if lane.leased_until <= now or not self._may_begin(lane):
                continue  # `hold_on` or `answered` lines it up again
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
        """When the first lane that waits for its rate limit may go on, None where none waits."""
        return self._aside[0][0] if self._aside else None

    def close(self, lane: LaneState) -> list[Job]:
        """Begin nothing more of a lane, as its endpoint is gone, cooling down, or belongs to another; return what was ready."""
        jobs = [*lane.ready, *lane.suspects]
        self._ready -= len(jobs)
        lane.ready.clear()
        lane.suspects.clear()
        lane.closed = lane.retiring = True
        if not lane.in_flight:
            self._busy.discard(lane)
        return jobs

    def answered(self, lane: LaneState, job: Job) -> None:
        """Free the slot of an attempt that has its outcome, which is still to be written."""
        lane.in_flight -= 1
        self._in_flight -= 1
        self._unwritten += 1
        self._line_up(lane)
        if not lane.in_flight and not lane.waiting:
            self._busy.discard(lane)

    def written(self, lane: LaneState, job: Job, *, now: float) -> None:
        """Note that the outcome of an attempt is written, or given up; only then the next suspect may be sent.

        It might end this process, and an outcome that is not written yet would count against a delivery that did nothing.
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
