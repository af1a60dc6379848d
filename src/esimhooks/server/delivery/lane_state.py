"""State of one leased lane: what is ready, what is in flight, and how much its endpoint accepts. No I/O."""

from collections import deque

from esimhooks.server.delivery.attempt import Job
from esimhooks.server.domain.breaker import BreakerState, Transition, after_failure, after_success
from esimhooks.server.domain.delivery import EndpointTarget
from esimhooks.server.domain.schedule import next_start
from esimhooks.server.store.lanes import Lease

UNWRITTEN_PER_SLOT = 4
"""How many outcomes may wait to be written for each attempt that may be in flight, of a lane and of the process. Where
receivers answer faster than the database writes, more would pile up until their leases end; a crash sends them again.
With 2 the senders waited for the database: one endpoint got 1 276 a second instead of 1 820, a hundred 1 690 for 1 910."""


class LaneState:
    """One leased lane. Times are seconds of the monotonic clock."""

    def __init__(
        self, lease: Lease, state: BreakerState, *, max_in_flight: int, now: float, leased_until: float
    ) -> None:
        self.lease = lease
        self.account_id = lease.endpoint_id
        """The owner; until something is claimed in it, the lane counts as an account of its own."""
        self.leased_until = leased_until
        """When the lease expires unless renewed; nothing may start after that, because another may have the lane."""
        self.ready: deque[Job] = deque()
        self.suspects: deque[Job] = deque()
        """Claimed before without an outcome; one at a time over all lanes."""
        self.in_flight = 0
        self.unwritten = 0
        self.more = False
        """Whether more was due than it had capacity for."""
        self.retiring = False
        """Whether nothing more may be claimed; what is claimed but unknown here is found under another lease."""
        self.closed = False
        """Whether nothing more may start."""
        self.in_turn = False
        """Whether it waits for its turn, or for its rate limit."""
        self.is_deferred = False
        """Whether it left the rotation above its share, where only the reserves were left."""
        self.busy_at = now
        """When it last had something to do."""
        self.next_start = now
        """When its rate limit lets the next attempt start."""
        self._max_in_flight = max_in_flight
        self._rate_limit: int | None = None
        self._breaker = state

    @property
    def limit(self) -> int:
        """How many may be in flight now: the endpoint's maximum, fewer while it is probed and ramps up."""
        return self._max_in_flight if self._breaker.allowed is None else min(self._max_in_flight, self._breaker.allowed)

    @property
    def waiting(self) -> bool:
        """Whether something is ready."""
        return bool(self.ready or self.suspects)

    @property
    def capacity(self) -> int:
        """How many more may be made ready: up to twice the limit, so that the lane does not run dry while more are claimed."""
        return 2 * self.limit - len(self.ready) - len(self.suspects)

    @property
    def wants_claim(self) -> bool:
        """Whether it has enough capacity to be worth a claim."""
        return self._takes_more and self.capacity >= self.limit

    @property
    def wants_more(self) -> bool:
        """Whether more is known to be due and there is enough capacity."""
        return self.more and self._takes_more and self.capacity > self.limit

    def direct_capacity(self, now: float) -> int:
        """Return how many new deliveries may be made ready without a claim; none where something that was due before waits."""
        has_lease = self.leased_until > now and not self.more and self._breaker.allowed is None
        return max(0, self.capacity) if has_lease and self._takes_more else 0

    @property
    def _takes_more(self) -> bool:
        return not self.retiring and self.unwritten - self.in_flight < UNWRITTEN_PER_SLOT * self.limit

    def idle(self, now: float) -> bool:
        """Return whether nothing is ready, every outcome is written, and its rate limit lets the next leaseholder start."""
        return not self.waiting and not self.unwritten and self.next_start <= now

    def use_target(self, target: EndpointTarget, *, now: float) -> None:
        """Use the present settings of the endpoint."""
        self._max_in_flight = target.max_in_flight
        self._rate_limit = target.rate_limit
        self.busy_at = now

    def begin(self, *, now: float) -> None:
        """Record that an attempt starts."""
        self.in_flight += 1
        self.unwritten += 1
        if self._rate_limit is not None:
            self.next_start = next_start(due=self.next_start, now=now, per_second=self._rate_limit)

    def on_written(self, *, next_is_due: bool, now: float) -> None:
        """Record that an outcome is written, and whether the next delivery of its FIFO became due."""
        self.unwritten -= 1
        self.busy_at = now
        self.more = self.more or next_is_due

    def transition_after(self, *, ok: bool, retry_after_s: float, jitter: float) -> Transition | None:
        """Return the transition that an outcome makes, None where nothing changes.

        Outcomes of what was in flight when the lane was closed change nothing.
        """
        if self.closed:
            return None
        before = self._breaker
        transition = (
            after_success(before, max_in_flight=self._max_in_flight)
            if ok
            else after_failure(before, retry_after_s=retry_after_s, jitter=jitter)
        )
        self._breaker = transition.state
        return None if transition.state == before and transition.cooldown_s is None else transition
