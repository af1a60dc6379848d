"""Schedules the leased lanes of one dispatcher: what is ready in each, what is in flight, which is next. No I/O.

Accounts take turns, one delivery each, and within an account its lanes: an account gets no more for having many endpoints.
Above its equal share of the slots an account goes on only while no other that is below could use them. A lane or an account
that may not start another leaves the rotation and rejoins it once it may, so choosing the next costs the same however many
there are.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from heapq import heappop, heappush
from itertools import zip_longest
from uuid import UUID

from esimhooks.server.delivery.attempt import Job
from esimhooks.server.delivery.lane_state import UNWRITTEN_PER_SLOT, LaneState
from esimhooks.server.domain.delivery import Claimed, is_suspect
from esimhooks.server.store.lanes import Leased
from esimhooks.server.store.queue import ClaimRequest

READY_PER_SLOT = 4
"""How many deliveries may be ready, over all lanes, for each that may be in flight; bounds memory."""

ACCOUNTS_RESERVE, LANES_RESERVE = 10, 20
"""One slot in 10 is reserved for accounts below their share, and another one in 20 for lanes below theirs: what hangs
cannot take all slots, and others still find one."""


class _Account:
    """The lanes of one account that wait for their turn, how many of its attempts are in flight, and its lanes with work.

    `is_deferred`: it left the rotation above its share, where only the reserve was left.
    """

    def __init__(self) -> None:
        self.turns: deque[LaneState] = deque()
        self.in_flight = 0
        self.busy: set[LaneState] = set()
        self.in_turn = False
        self.is_deferred = False


class LaneScheduler:
    """All leased lanes, within the maximum of each lane and of the process.

    A lane has the maximum of its endpoint; `max_in_flight_lane` applies until the endpoint is known.
    """

    def __init__(self, *, max_in_flight: int, max_in_flight_lane: int) -> None:
        self.lanes: dict[UUID, LaneState] = {}
        self._max_in_flight = max_in_flight
        self._max_in_flight_lane = max_in_flight_lane
        self._accounts: dict[UUID, _Account] = {}
        """Those that have work, by their id; a lane whose account is not known yet is one of its own."""
        self._turns: deque[_Account] = deque()
        self._deferred_accounts: deque[_Account] = deque()
        self._deferred_lanes: deque[LaneState] = deque()
        self._rate_limited: list[tuple[float, int, LaneState]] = []
        self.ready = 0
        """How many deliveries are ready, over all lanes."""
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

    def on_renewed(self, endpoint_ids: Collection[UUID], *, until: float) -> None:
        """Record that these leases were renewed, and drop all other lanes."""
        for endpoint_id in endpoint_ids:
            lane = self.lanes[endpoint_id]
            lane.leased_until = until
            self._enqueue(lane)
        self.drop([endpoint_id for endpoint_id in self.lanes if endpoint_id not in endpoint_ids])

    def drop(self, endpoint_ids: Sequence[UUID]) -> None:
        """Drop lanes whose lease ended; their attempts in flight finish and will not count."""
        for endpoint_id in endpoint_ids:
            lane = self.lanes.pop(endpoint_id, None)
            if lane is not None:
                self.close(lane)

    def claim_requests(self) -> list[ClaimRequest]:
        """Return how many deliveries to claim for each lane that is worth a claim.

        The capacity that is left is shared by the accounts equally, and within an account by its lanes. Where there is not
        enough for all, accounts take turns, and lanes whose last claim is longest ago come first.
        """
        by_account: dict[UUID, list[LaneState]] = {}
        for lane in self.lanes.values():
            if lane.wants_claim:
                by_account.setdefault(lane.account_id, []).append(lane)
        left = READY_PER_SLOT * self._max_in_flight - self.ready
        if not by_account or left <= 0:
            return []
        of_account = left // len(by_account)
        wants_claim = [lane for one_each in zip_longest(*by_account.values()) for lane in one_each if lane is not None]
        chosen = wants_claim[:left]
        if len(chosen) < len(wants_claim):
            for lane in chosen:
                self.lanes[lane.lease.endpoint_id] = self.lanes.pop(lane.lease.endpoint_id)
        return [
            ClaimRequest(lane.lease, min(max(1, of_account // len(by_account[lane.account_id])), lane.capacity))
            for lane in chosen
        ]

    def give_up(self, count: int | None = None) -> list[Job]:
        """Give up the lanes leased longest, at shutdown all, so that others get them; return their jobs that were not started."""
        chosen = [lane for lane in self.lanes.values() if count is None or not lane.retiring]
        return [job for lane in chosen[:count] for job in self.close(lane)]

    def on_claimed(self, requests: Sequence[ClaimRequest], claimed: Sequence[Claimed]) -> bool:
        """Record which lanes got all they requested and so may have more due; true where one has capacity now."""
        got = Counter(one.endpoint_id for one in claimed)
        for request in requests:
            lane = self.lanes.get(request.lease.endpoint_id)
            if lane is not None:
                lane.more = got[request.lease.endpoint_id] >= request.capacity
        return any(lane.wants_more for lane in self.lanes.values())

    def add(self, jobs: Sequence[Job], *, now: float) -> int:
        """Make jobs ready in their lanes, and return how many.

        Those of lanes that are closed or no longer leased are left to the next leaseholder.
        """
        added = 0
        for job in jobs:
            lane = self.lanes.get(job.claimed.endpoint_id)
            if lane is None or lane.closed or lane.lease.token != job.claimed.lease_token:
                continue
            lane.use_target(job.target, now=now)
            self._use_account(lane, job.claimed.account_id)
            if is_suspect(job.claimed):
                lane.suspects.append(job)
            else:
                lane.ready.append(job)
            self.ready += 1
            self._set_busy(lane)
            self._enqueue(lane)
            added += 1
        return added

    def start_next(self, *, now: float, limit: int) -> Iterator[tuple[LaneState, Job]]:
        """Yield the jobs to start now, one of each account in turn, while maxima, shares and rate limits allow."""
        while self._rate_limited and self._rate_limited[0][0] <= now:
            lane = heappop(self._rate_limited)[2]
            lane.in_turn = False
            self._enqueue(lane)
        above: deque[_Account] = deque()
        while limit and self._has_slot and (turns := self._turns or above):
            account = turns.popleft()
            if turns is not above and account.in_flight >= self._share_of_account:
                above.append(account)  # all that are below their share come first
                continue
            if turns is above and self._left <= self._accounts_reserve:
                self._defer(account)
                continue
            started = self._start_one(account, now=now)
            if started is not None and account.turns:
                turns.append(account)
            else:
                account.in_turn = False  # `add`, `on_renewed` or `on_answered` puts it back in turn
            if started is not None:
                limit -= 1
                yield started
        self._turns.extendleft(reversed(above))

    @property
    def next_turn_at(self) -> float | None:
        """When the first lane that waits for its rate limit may continue, None where none waits."""
        return self._rate_limited[0][0] if self._rate_limited else None

    def close(self, lane: LaneState) -> list[Job]:
        """Start nothing more in a lane whose endpoint is gone or cooling down, or whose lease is lost; return what was ready."""
        jobs = [*lane.ready, *lane.suspects]
        self.ready -= len(jobs)
        lane.ready.clear()
        lane.suspects.clear()
        lane.closed = lane.retiring = True
        if not lane.in_flight:
            self._set_idle(lane)
        return jobs

    def on_answered(self, lane: LaneState) -> None:
        """Free the slot of an attempt whose outcome is known but not written yet."""
        account = self._accounts[lane.account_id]
        lane.in_flight -= 1
        account.in_flight -= 1
        self._in_flight -= 1
        self._unwritten += 1
        self._enqueue(lane)
        self._enqueue_account(account)
        self._resume_deferred()
        if not lane.in_flight and not lane.waiting:
            self._set_idle(lane)

    def on_written(self, lane: LaneState, job: Job, *, now: float, next_is_due: bool = False) -> None:
        """Record that an outcome is written or given up; only then may the next suspect start.

        A suspect might end this process, and an unwritten outcome would then count against an innocent delivery.
        """
        self._unwritten -= 1
        lane.on_written(next_is_due=next_is_due, now=now)
        if is_suspect(job.claimed):
            self._suspect_in_flight = False
            for other in [one for account in self._accounts.values() for one in account.busy if one.suspects]:
                self._enqueue(other)

    @property
    def _has_slot(self) -> bool:
        return self._in_flight < self._max_in_flight and self._unwritten < UNWRITTEN_PER_SLOT * self._max_in_flight

    @property
    def _left(self) -> int:
        return self._max_in_flight - self._in_flight

    @property
    def _accounts_reserve(self) -> int:
        return self._max_in_flight // ACCOUNTS_RESERVE

    @property
    def _reserves(self) -> int:
        return self._accounts_reserve + self._max_in_flight // LANES_RESERVE

    @property
    def _share_of_account(self) -> int:
        """An equal share, with one for an account that has nothing to do yet."""
        return max(1, self._max_in_flight // (len(self._accounts) + 1))

    def _resume_deferred(self) -> None:
        """Put one account and one lane that were deferred in turn again, where more than the reserves is left."""
        if self._deferred_accounts and self._left > self._accounts_reserve:
            account = self._deferred_accounts.popleft()
            account.is_deferred = False
            self._enqueue_account(account)
        if self._deferred_lanes and self._left > self._reserves:
            lane = self._deferred_lanes.popleft()
            lane.is_deferred = False
            self._enqueue(lane)

    def _defer(self, account: _Account) -> None:
        account.in_turn = False
        if not account.is_deferred:
            account.is_deferred = True
            self._deferred_accounts.append(account)

    def _start_one(self, account: _Account, *, now: float) -> tuple[LaneState, Job] | None:
        """Start a job of the account's next lane that may start one; None where none may."""
        while account.turns:
            lane = account.turns.popleft()
            lane.in_turn = False
            if lane.leased_until <= now or lane.in_flight >= lane.limit:
                continue  # `on_renewed` or `on_answered` puts it back in turn
            if not self._may_begin(lane):
                if not lane.is_deferred:
                    lane.is_deferred = True
                    self._deferred_lanes.append(lane)
                continue
            if lane.next_start > now:
                heappush(self._rate_limited, (lane.next_start, id(lane), lane))
                lane.in_turn = True
                continue
            job = self._pick(lane)
            if job is None:
                continue
            lane.begin(now=now)
            self.ready -= 1
            self._in_flight += 1
            account.in_flight += 1
            self._enqueue(lane)
            return lane, job
        return None

    def _may_begin(self, lane: LaneState) -> bool:
        """Return whether more than the reserves is left, or the lane is below its share of its account's."""
        if self._left > self._reserves:
            return True
        lanes = len(self._accounts[lane.account_id].busy) + 1
        return lane.in_flight < max(1, self._max_in_flight // len(self._accounts) // lanes)

    def _use_account(self, lane: LaneState, account_id: UUID) -> None:
        """Count the lane to its account, which is not known before something is claimed in it."""
        if lane.account_id != account_id and not lane.in_flight:
            self._set_idle(lane)
            lane.account_id = account_id

    def _set_busy(self, lane: LaneState) -> None:
        self._accounts.setdefault(lane.account_id, _Account()).busy.add(lane)

    def _set_idle(self, lane: LaneState) -> None:
        account = self._accounts.get(lane.account_id)
        if account is None or lane not in account.busy:
            return
        account.busy.remove(lane)
        if not account.busy:
            del self._accounts[lane.account_id]

    def _enqueue(self, lane: LaneState) -> None:
        if lane.waiting and not lane.in_turn:
            account = self._accounts[lane.account_id]
            lane.in_turn = True
            account.turns.append(lane)
            self._enqueue_account(account)

    def _enqueue_account(self, account: _Account) -> None:
        if account.turns and not account.in_turn:
            account.in_turn = True
            self._turns.append(account)

    def _pick(self, lane: LaneState) -> Job | None:
        if lane.ready:
            return lane.ready.popleft()
        if lane.suspects and not self._suspect_in_flight:
            self._suspect_in_flight = True
            return lane.suspects.popleft()
        return None
