"""What the queue promises, in plain Python: the model that test_queue_model.py compares the real one with.

No database, no clock: seconds of a time that only the test moves. Whatever stands here in one line, the store does in
SQL, guarded by tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from uuid import UUID

from esimhooks.server.domain.breaker import Transition
from esimhooks.server.domain.delivery import SUSPECT_AT, Claimed, Delivery, DeliveryStatus, Verdict
from esimhooks.server.store.lanes import Lease

LEASE_S = 1_000
DISABLED_AFTER_S = 5 * 86_400


@dataclass
class ModelLane:
    """A lane and its endpoint."""

    ordered: bool
    open: bool = True
    token: int = 0
    leased_until: float = 0
    cooldown_until: float = 0
    failing_since: float | None = None


@dataclass
class Row:
    """A delivery and, while it is pending, its row in the queue."""

    delivery: Delivery
    position: int
    due: float
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    logged: int = 0
    this_round: int = 0
    claims: int = 0
    token: int = 0
    faults: int = 0
    claimed_at: int | None = None
    """The position in the queue, as PostgreSQL numbers them, at which it was last claimed."""

    @property
    def pending(self) -> bool:
        return self.status is DeliveryStatus.PENDING


@dataclass
class LaneModel:
    """Lanes, who may hold them, and the deliveries that they hold; `now` is the time."""

    now: float = 0
    lanes: dict[UUID, ModelLane] = field(default_factory=dict)
    rows: dict[UUID, Row] = field(default_factory=dict)

    def waiting_in(self, endpoint_id: UUID) -> list[Row]:
        return [row for row in self.rows.values() if row.pending and row.delivery.endpoint_id == endpoint_id]

    def leasable(self) -> dict[UUID, float]:
        """Return the lanes that can be leased, and since when each has work due."""
        since = {
            endpoint_id: min((row.due for row in self.waiting_in(endpoint_id)), default=self.now + 1)
            for endpoint_id, lane in self.lanes.items()
            if lane.open and lane.leased_until <= self.now and lane.cooldown_until <= self.now
        }
        return {endpoint_id: due for endpoint_id, due in since.items() if due <= self.now}

    def lease(self, endpoint_id: UUID) -> Lease:
        lane = self.lanes[endpoint_id]
        lane.token += 1
        lane.leased_until = self.now + LEASE_S
        return Lease(endpoint_id, lane.token)

    def holds(self, lease: Lease) -> bool:
        lane = self.lanes.get(lease.endpoint_id)
        return lane is not None and lane.token == lease.token

    def renew(self, leases: Iterable[Lease]) -> set[UUID]:
        still = {one.endpoint_id for one in leases if self.holds(one) and self.lanes[one.endpoint_id].open}
        for endpoint_id in still:
            self.lanes[endpoint_id].leased_until = self.now + LEASE_S
        return still

    def release(self, leases: Iterable[Lease]) -> None:
        for lease in filter(self.holds, leases):
            self.lanes[lease.endpoint_id].leased_until = 0

    def enable(self, endpoint_id: UUID) -> None:
        lane = self.lanes[endpoint_id]
        lane.open, lane.failing_since, lane.cooldown_until = True, None, 0

    def apply(self, lane: ModelLane, transition: Transition) -> None:
        if transition.cooldown_s is not None:
            lane.cooldown_until = self.now + transition.cooldown_s
        if transition.state.failures == 0:
            lane.failing_since = None
        elif lane.failing_since is None:
            lane.failing_since = self.now
        elif lane.failing_since <= self.now - DISABLED_AFTER_S:
            lane.open = False


@dataclass
class QueueModel(LaneModel):
    """What becomes of the deliveries."""

    positions: int = 0

    def enqueue(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self.rows[delivery.id] = row = Row(delivery, self._next_position(), self.now)
            row.due = self.now if self._is_first(row) else inf

    def may_claim(self, lease: Lease) -> list[Row]:
        """Return what the holder of a lease may claim, longest due first."""
        if not self.holds(lease) or not self.lanes[lease.endpoint_id].open:
            return []
        waiting = self.waiting_in(lease.endpoint_id)
        due = [
            row
            for row in waiting
            if row.due <= self.now and row.token != lease.token and self._its_turn(row, lease.token)
        ]
        return sorted(due, key=lambda row: row.due)

    def claim(self, row: Row, claimed: Claimed) -> None:
        row.token, row.claimed_at = claimed.lease_token, claimed.position
        row.claims += row.claims - row.attempts < SUSPECT_AT

    def counts(self, claimed: Claimed) -> bool:
        """Return whether a result of this claim is written: nobody has claimed or finished the delivery since."""
        row = self.rows[claimed.delivery_id]
        same = (row.attempts, row.faults) == (claimed.attempts, claimed.faults)
        return same and self._claimed(claimed) and self.holds(Lease(claimed.endpoint_id, claimed.lease_token))

    def release_claims(self, released: Iterable[Claimed]) -> None:
        for one in filter(self._claimed, released):
            row = self.rows[one.delivery_id]
            row.token, row.claims = 0, one.claims

    def begin(self, claimed: Claimed) -> bool:
        ours = self._claimed(claimed)
        self.rows[claimed.delivery_id].claims += ours
        return ours

    def write(self, results: Sequence[Claimed], verdict: Verdict, transition: Transition | None) -> set[UUID]:
        kept = [one for one in results if self.counts(one)]
        for one in kept:
            row = self.rows[one.delivery_id]
            row.logged += 1
            row.attempts += verdict.counts
            row.this_round += verdict.counts
            row.faults = 0 if verdict.counts else row.faults + 1
            row.status, row.claims, row.token = verdict.status, row.attempts, 0
            row.due = self.now + (verdict.delay_s or 0)
            if not row.pending:
                self._move_up(row)
        for endpoint_id in {one.endpoint_id for one in kept}:
            lane = self.lanes[endpoint_id]
            if transition is not None:
                self.apply(lane, transition)
            if verdict.endpoint_gone:
                lane.open = False
        return {one.delivery_id for one in kept}

    def send_again(self, row: Row) -> bool:
        lane = self.lanes.get(row.delivery.endpoint_id)
        if row.pending or lane is None:
            return False
        row.status, row.position = DeliveryStatus.PENDING, self._next_position()
        row.due = self.now if self._is_first(row) else inf
        row.this_round, row.claims, row.token, row.faults, row.claimed_at = 0, row.attempts, 0, 0, None
        return True

    def cancel(self, row: Row) -> bool:
        if not row.pending:
            return False
        row.status = DeliveryStatus.CANCELLED
        self._move_up(row)
        return True

    def reorder(self, endpoint_id: UUID) -> bool:
        """Have the lane keep the order of each eSIM, or no longer; return which."""
        lane = self.lanes[endpoint_id]
        lane.ordered = not lane.ordered
        for row in self.waiting_in(endpoint_id):
            if not self._is_first(row):
                row.due = inf if row.due <= self.now else row.due
            elif row.due == inf:
                row.due = self.now
        return lane.ordered

    def delete(self, endpoint_id: UUID) -> None:
        for row in self.waiting_in(endpoint_id):
            row.status = DeliveryStatus.CANCELLED
        del self.lanes[endpoint_id]

    def _claimed(self, claimed: Claimed) -> bool:
        row = self.rows[claimed.delivery_id]
        return row.pending and (row.token, row.claimed_at) == (claimed.lease_token, claimed.position)

    def _line(self, row: Row) -> list[Row]:
        """Return the row's line, first to last, where the order of its eSIM is kept; otherwise the row alone."""
        if row.delivery.esim_id is None or not self.lanes[row.delivery.endpoint_id].ordered:
            return [row]
        waiting = self.waiting_in(row.delivery.endpoint_id)
        line = [one for one in waiting if one.delivery.esim_id == row.delivery.esim_id]
        return sorted(line, key=lambda one: one.position)

    def _is_first(self, row: Row) -> bool:
        return self._line(row)[0] is row

    def _its_turn(self, row: Row, token: int) -> bool:
        return self._is_first(row) and not any(one.token == token for one in self._line(row))

    def _move_up(self, left: Row) -> None:
        """Make due who stands behind a row that has just left, also where others stand before both."""
        behind = [
            row
            for row in self.waiting_in(left.delivery.endpoint_id)
            if row.delivery.esim_id == left.delivery.esim_id and row.position > left.position
        ]
        following = min(behind, key=lambda row: row.position, default=None)
        if following is not None and following.due == inf:
            following.due = self.now

    def _next_position(self) -> int:
        self.positions += 1
        return self.positions
