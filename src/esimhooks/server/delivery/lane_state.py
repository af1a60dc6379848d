"""One lane that this dispatcher holds: what is ready in it, what is in flight, and what its endpoint can take. No I/O."""

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
        self.leased_until = leased_until
        """When the lease ends unless it is renewed; nothing may be begun after that, as others may have it all."""
        self.ready: deque[Job] = deque()
        self.suspects: deque[Job] = deque()
        """Those taken up in vain before; one at a time of all lanes."""
        self.in_flight = 0
        self.unwritten = 0
        self.more = False
        """Whether there was more due than it had room for."""
        self.retiring = False
        """Whether nothing more may be taken up; what is claimed and unknown here is found by another lease."""
        self.closed = False
        """Whether nothing more may be begun."""
        self.in_turn = False
        """Whether it waits for its turn, or for the moment when its rate limit lets it."""
        self.busy_at = now
        """When it last had something to do."""
        self.next_start = now
        """When its rate limit lets the next attempt start."""
        self._max_in_flight = max_in_flight
        self._rate_limit: int | None = None
        self._breaker = state

    @property
    def limit(self) -> int:
        """How many may be in flight now: the endpoint's max_in_flight, less while it is probed and ramps up."""
        return self._max_in_flight if self._breaker.allowed is None else min(self._max_in_flight, self._breaker.allowed)

    @property
    def waiting(self) -> bool:
        """Whether something is ready."""
        return bool(self.ready or self.suspects)

    @property
    def room(self) -> int:
        """How much more may be made ready: twice the limit, so that the lane never runs dry while more is read."""
        return 2 * self.limit - len(self.ready) - len(self.suspects)

    @property
    def wants_claim(self) -> bool:
        """Whether it has enough room to be worth a question."""
        return self._takes_more and self.room >= self.limit

    @property
    def wants_more(self) -> bool:
        """True where more is known to be due and enough room is there."""
        return self.more and self._takes_more and self.room > self.limit

    @property
    def _takes_more(self) -> bool:
        return not self.retiring and self.unwritten - self.in_flight < UNWRITTEN_PER_SLOT * self.limit

    def idle(self, now: float) -> bool:
        """Return whether nothing is ready, every outcome is written, and its rate limit lets another holder begin."""
        return not self.waiting and not self.unwritten and self.next_start <= now

    def use_target(self, target: EndpointTarget, *, now: float) -> None:
        """Serve the endpoint as it is now."""
        self._max_in_flight = target.max_in_flight
        self._rate_limit = target.rate_limit
        self.busy_at = now

    def begin(self, *, now: float) -> None:
        """Note that an attempt starts."""
        self.in_flight += 1
        self.unwritten += 1
        if self._rate_limit is not None:
            self.next_start = next_start(due=self.next_start, now=now, per_second=self._rate_limit)

    def note_written(self, *, ordered: bool, now: float) -> None:
        """Note that an outcome is written; where the order is kept it may have freed the next of its eSIM."""
        self.unwritten -= 1
        self.busy_at = now
        self.more = self.more or ordered

    def judge(self, *, ok: bool, retry_after_s: float, chance: float) -> Transition | None:
        """Return what an outcome means for the lane, None where nothing changes.

        In a lane that was closed the outcomes of what was in flight then say nothing new.
        """
        if self.closed:
            return None
        before = self._breaker
        transition = (
            after_success(before, max_in_flight=self._max_in_flight)
            if ok
            else after_failure(before, retry_after_s=retry_after_s, chance=chance)
        )
        self._breaker = transition.state
        return None if transition.state == before and transition.cooldown_s is None else transition
