"""The lanes that one dispatcher holds: what is ready in each, what is in flight, whose turn it is. No I/O."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from uuid import UUID

from esimhooks.server.engine.attempt import Job
from esimhooks.server.model.delivery import Claimed
from esimhooks.server.store.lanes import Lease, Wish


class HeldLane:
    """One leased lane."""

    def __init__(self, lease: Lease, *, cap: int, now: float) -> None:
        self.lease = lease
        self.ready: deque[Job] = deque()
        self.in_flight = 0
        self.unsettled = 0
        self.cap = cap
        self.more = False
        """Whether there was more due than it had room for."""
        self.retiring = False
        """Whether nothing more may be taken up: some of it is claimed and unknown here, and only another lease finds it."""
        self.closed = False
        """Whether nothing more may be begun, as its endpoint is gone."""
        self.busy_at = now
        """When it last had something to do, in seconds of the monotonic clock."""

    @property
    def room(self) -> int:
        """How much more may be made ready: twice the cap, so that the lane never runs dry while more is read."""
        return 2 * self.cap - len(self.ready)

    @property
    def wants_more(self) -> bool:
        """True where more is due and enough room is there to be worth a question."""
        return self.more and not self.retiring and self.room > self.cap

    @property
    def idle(self) -> bool:
        """True where nothing is ready and every outcome is written."""
        return not self.ready and not self.unsettled


class LaneTable:
    """All lanes held, served round robin: one delivery each in turn, up to the lane's cap and the process's.

    A lane has the cap of its endpoint; `lane_cap` is what it is taken for until the endpoint is known.
    """

    def __init__(self, *, process_cap: int, lane_cap: int) -> None:
        self.lanes: dict[UUID, HeldLane] = {}
        self._process_cap = process_cap
        self._lane_cap = lane_cap
        self._turns: deque[HeldLane] = deque()
        self._in_flight = 0

    def hold(self, leases: Sequence[Lease], *, now: float) -> None:
        """Add lanes that were leased; one that was held before is held anew."""
        self.drop([lease.endpoint_id for lease in leases])
        for lease in leases:
            self.lanes[lease.endpoint_id] = HeldLane(lease, cap=self._lane_cap, now=now)

    def drop(self, endpoint_ids: Sequence[UUID]) -> None:
        """Forget lanes whose lease ended; what is in flight of them finishes and will not count."""
        for endpoint_id in endpoint_ids:
            lane = self.lanes.pop(endpoint_id, None)
            if lane is not None:
                lane.ready.clear()

    def wishes(self) -> list[Wish]:
        """Return how much each lane has room for, where that is worth a question."""
        return [
            Wish(lane.lease, lane.room) for lane in self.lanes.values() if lane.room >= lane.cap and not lane.retiring
        ]

    def retire(self, wishes: Sequence[Wish]) -> None:
        """Take up nothing more in these lanes: what their wishes were granted is not known."""
        for wish in wishes:
            lane = self.lanes.get(wish.lease.endpoint_id)
            if lane is not None and lane.lease == wish.lease:
                lane.retiring = True

    def note_more(self, wishes: Sequence[Wish], claimed: Sequence[Claimed]) -> bool:
        """Note which lanes got all they wished for and so may have more; true where one has room at once."""
        got = Counter(one.endpoint_id for one in claimed)
        for wish in wishes:
            lane = self.lanes.get(wish.lease.endpoint_id)
            if lane is not None:
                lane.more = got[wish.lease.endpoint_id] >= wish.room
        return any(lane.wants_more for lane in self.lanes.values())

    def add(self, jobs: Sequence[Job], *, now: float) -> None:
        """Make jobs ready in their lanes; those of a lane that is closed or no longer held are left to its next holder."""
        for job in jobs:
            lane = self.lanes.get(job.claimed.endpoint_id)
            if lane is None or lane.closed or lane.lease.token != job.claimed.lease_token:
                continue
            lane.cap = job.target.max_in_flight
            lane.busy_at = now
            if not lane.ready and lane not in self._turns:
                self._turns.append(lane)
            lane.ready.append(job)

    def start_next(self) -> Iterator[tuple[HeldLane, Job]]:
        """Yield the jobs to begin now, one of each lane in turn, while the caps allow."""
        passed = 0
        while self._turns and self._in_flight < self._process_cap and passed < len(self._turns):
            lane = self._turns.popleft()
            if not lane.ready:
                continue
            self._turns.append(lane)
            if lane.in_flight >= lane.cap:
                passed += 1
                continue
            passed = 0
            lane.in_flight += 1
            lane.unsettled += 1
            self._in_flight += 1
            yield lane, lane.ready.popleft()

    def close(self, lane: HeldLane) -> list[Job]:
        """Begin nothing more of a lane whose endpoint is gone; return what was ready."""
        jobs = list(lane.ready)
        lane.ready.clear()
        lane.closed = lane.retiring = True
        return jobs

    def answered(self, lane: HeldLane) -> None:
        """Free the slot of an attempt that has its outcome."""
        lane.in_flight -= 1
        self._in_flight -= 1

    def settled(self, lane: HeldLane, *, now: float) -> None:
        """Note that an outcome is written."""
        lane.unsettled -= 1
        lane.busy_at = now

    def take_back(self) -> list[Job]:
        """Take out all jobs that were not begun; at shutdown."""
        jobs = [job for lane in self.lanes.values() for job in lane.ready]
        for lane in self.lanes.values():
            lane.ready.clear()
        return jobs
