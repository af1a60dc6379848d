"""What happens to a queue from outside, done to PostgreSQL and to the model, and what must be true after every transition.

Merchants, time and crashes are here; what dispatchers do is in test_queue_model.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from esimhooks.server.domain.delivery import Claimed
from esimhooks.server.domain.endpoint import Ordering
from esimhooks.server.domain.ids import new_id
from esimhooks.server.store import deliveries, endpoints, fifo, queue
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.lanes import Lease
from store.queue_model import ModelLane, QueueModel, Row
from system.stored_lanes import Lane, a_delivery, a_lane

T = TypeVar("T")

TICK_S = 1_100
"""No time of the model is a multiple of it, so it does not matter that the steps take some time of their own."""
TOLERANCE_S = 90
ESIMS = [None, UUID(int=1), UUID(int=2)]

either = st.sampled_from([0, 1])
esims = st.lists(st.sampled_from(ESIMS), min_size=1, max_size=4)


@dataclass
class Dispatcher:
    """What a dispatcher believes to hold, and what it has claimed and not finished."""

    holder: UUID = field(default_factory=new_id)
    leases: dict[UUID, Lease] = field(default_factory=dict)
    out: list[Claimed] = field(default_factory=list)

    def pick(self, indices: set[int]) -> list[Claimed]:
        """Hand over those of its deliveries with these indices."""
        picked = [one for index, one in enumerate(self.out) if index in indices]
        self.out = [one for index, one in enumerate(self.out) if index not in indices]
        return picked


class WatchedQueue(RuleBasedStateMachine):
    """A queue, its model and two dispatchers; both queues are compared after every transition."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database) -> None:
        super().__init__()
        self._loop = loop
        self._database = database
        self.model = QueueModel()
        self.dispatchers = [Dispatcher(), Dispatcher()]

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        rows = self._do(_rows)
        assert [row["id"] for row in rows] == sorted(self.model.rows), "a delivery has disappeared, or has no end"
        for row in rows:
            expected = self.model.rows[row["id"]]
            assert (row["status"], row["attempts"]) == (expected.status, expected.attempts)
            assert row["finished"] == row["left_queue"] == (not expected.pending), "it has not one visible state"
            assert row["counted"] == list(range(1, expected.attempts + 1)), "an attempt is not logged exactly once"
            assert row["logged"] == expected.logged
            if expected.pending:
                queued = (row["queued_attempts"], row["attempts_this_round"], row["claims"], row["claim_token"])
                assert queued == (expected.attempts, expected.this_round, expected.claims, expected.token)
                due_in_s = expected.due - self.model.now
                assert row["due_in_s"] == due_in_s or abs(row["due_in_s"] - due_in_s) < TOLERANCE_S

    @invariant()
    def lanes_and_endpoints_are_as_the_model_says(self) -> None:
        found = {row["endpoint_id"]: (row["lease_token"], row["open"], row["enabled"]) for row in self._do(_lanes)}
        assert found == {one: (lane.token, lane.open, lane.open) for one, lane in self.model.lanes.items()}

    @invariant()
    def one_delivery_at_most_is_out_of_each_esim_whose_order_is_kept(self) -> None:
        assert self._do(_crowded) == 0

    def _do(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do some work on the database, in a transaction."""

        async def do() -> T:
            async with self._database.transaction() as db:
                return await work(db)

        return self._loop.run_until_complete(do())

    def _execute(self, statement: str, *args: object) -> None:
        self._do(lambda db: db.conn.execute(statement, *args))


class DisturbedQueue(WatchedQueue):
    """What merchants, time and crashes do."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database) -> None:
        super().__init__(loop, database)
        self.stored: dict[UUID, Lane] = {}
        self.claim_is_blocked = False
        """Whether a statement that claims deliveries waits in the middle."""

    @initialize(ordered=st.booleans(), esims=esims)
    def start(self, *, ordered: bool, esims: Sequence[UUID | None]) -> None:
        self.gate = self._loop.run_until_complete(a_lane(self._database, due=1))
        """A lane beside the model, which is never leased; see `begin_late_claim`."""
        self._execute("UPDATE lanes SET lease_token = 1, leased_until = 'infinity'")
        self._execute("UPDATE queue SET esim_id = endpoint_id, event_type = 'gate'")
        self.add_endpoint(ordered=ordered)
        self.enqueue(0, esims)

    @precondition(lambda self: len(self.model.lanes) < 3)
    @rule(ordered=st.booleans())
    def add_endpoint(self, *, ordered: bool) -> None:
        lane = self._loop.run_until_complete(a_lane(self._database, due=0))
        if ordered:
            self._execute("UPDATE endpoints SET ordering = 'esim' WHERE id = $1", lane.endpoint_id)
        self.stored[lane.endpoint_id] = lane
        self.model.lanes[lane.endpoint_id] = ModelLane(ordered)

    @rule(index=st.integers(0, 2), esims=esims)
    def enqueue(self, index: int, esims: Sequence[UUID | None]) -> None:
        lane = self._some_lane(index)
        ordered = self.model.lanes[lane.endpoint_id].ordered
        made = [a_delivery(lane, esim_id=one, ordered=ordered and one is not None) for one in esims]

        async def publish(db: Session) -> None:
            await deliveries.insert(db, made)
            await queue.enqueue(db, made)

        self._do(publish)
        self.model.enqueue(made)

    @precondition(lambda self: not all(row.pending for row in self.model.rows.values()))
    @rule(index=st.integers(0, 99))
    def send_again(self, index: int) -> None:
        row = list(self.model.rows.values())[index % len(self.model.rows)]
        assert self._do(lambda db: queue.send_again(db, row.delivery)) == self.model.send_again(row)

    @precondition(lambda self: any(row.pending for row in self.model.rows.values()))
    @rule(index=st.integers(0, 99))
    def cancel(self, index: int) -> None:
        row = list(self.model.rows.values())[index % len(self.model.rows)]
        cancelled = self._do(lambda db: queue.cancel(db, row.delivery.id, now=datetime.now(UTC)))
        assert cancelled == self.model.cancel(row)

    @precondition(lambda self: self._claimed())
    @rule(index=st.integers(0, 99))
    def cancel_and_send_again(self, index: int) -> None:
        """Have a merchant do both at once, while an attempt is in flight."""
        claimed = self._claimed()
        row = claimed[index % len(claimed)]
        assert self._do(lambda db: queue.cancel(db, row.delivery.id, now=datetime.now(UTC))) == self.model.cancel(row)
        assert self._do(lambda db: queue.send_again(db, row.delivery)) == self.model.send_again(row)

    @precondition(lambda self: not all(lane.open for lane in self.model.lanes.values()))
    @rule(index=st.integers(0, 2))
    def enable(self, index: int) -> None:
        endpoint_id = self._some_lane(index).endpoint_id
        self._execute("UPDATE endpoints SET enabled = true, disabled_reason = NULL WHERE id = $1", endpoint_id)
        self._execute(
            "UPDATE lanes SET open = true, failing_since = NULL, held_until = NULL WHERE endpoint_id = $1", endpoint_id
        )
        self.model.enable(endpoint_id)

    @precondition(lambda self: not self.claim_is_blocked and not self._claimed())
    @rule(index=st.integers(0, 2))
    def reorder(self, index: int) -> None:
        """Change the mind about the order, while nothing is out: two of one eSIM may be, where no order was kept."""
        endpoint_id = self._some_lane(index).endpoint_id
        ordered = self.model.reorder(endpoint_id)
        self._execute(
            "UPDATE endpoints SET ordering = $2 WHERE id = $1", endpoint_id, Ordering.ESIM if ordered else Ordering.NONE
        )
        self._do(lambda db: fifo.reorder(db, endpoint_id, ordered=ordered))

    @precondition(lambda self: len(self.model.lanes) > 2)
    @rule(index=st.integers(0, 2))
    def delete_endpoint(self, index: int) -> None:
        lane = self._some_lane(index)
        assert self._do(lambda db: endpoints.delete(db, lane.tenant, lane.endpoint_id, now=datetime.now(UTC)))
        self.model.delete(lane.endpoint_id)

    @rule(ticks=st.sampled_from([1, 3, 10, 400]))
    def pass_time(self, ticks: int) -> None:
        """Let time pass: leases end within one tick, retries are due within ten, and 393 are five days."""
        self.model.now += ticks * TICK_S
        self._execute(
            "UPDATE queue SET due_at = due_at - make_interval(secs => $1) WHERE event_type <> 'gate'", ticks * TICK_S
        )
        self._execute(
            """
            UPDATE lanes
            SET leased_until = leased_until - make_interval(secs => $1),
                held_until = held_until - make_interval(secs => $1),
                failing_since = failing_since - make_interval(secs => $1)
            """,
            ticks * TICK_S,
        )

    @precondition(lambda self: any(one.leases for one in self.dispatchers))
    @rule(who=either)
    def crash(self, who: int) -> None:
        self.dispatchers[who] = Dispatcher()

    def _claimed(self) -> list[Row]:
        return [row for row in self.model.rows.values() if row.pending and row.token]

    def _some_lane(self, index: int) -> Lane:
        return self.stored[sorted(self.model.lanes)[index % len(self.model.lanes)]]


async def _rows(db: Session) -> Sequence[Any]:
    found: Sequence[Any] = await db.conn.fetch(
        """
        SELECT d.id, d.status, d.attempts, d.finished_at IS NOT NULL AS finished, q.delivery_id IS NULL AS left_queue,
               q.attempts AS queued_attempts, q.attempts_this_round, q.claims, q.claim_token,
               extract(epoch FROM q.due_at)::float8 - extract(epoch FROM now())::float8 AS due_in_s,
               ARRAY(SELECT number FROM attempts a WHERE a.delivery_id = d.id AND a.outcome <> 'internal'
                     ORDER BY a.id) AS counted,
               (SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id) AS logged
        FROM deliveries d FULL JOIN queue q ON q.delivery_id = d.id
        WHERE q.event_type IS DISTINCT FROM 'gate' ORDER BY d.id
        """
    )
    return found


async def _lanes(db: Session) -> Sequence[Any]:
    found: Sequence[Any] = await db.conn.fetch(
        """
        SELECT l.endpoint_id, l.lease_token, l.open, e.enabled FROM lanes l JOIN endpoints e ON e.id = l.endpoint_id
        WHERE l.leased_until IS DISTINCT FROM 'infinity'
        """
    )
    return found


async def _crowded(db: Session) -> int:
    """Return how many eSIMs have more than one delivery out under a lease that holds."""
    crowded: int = await db.conn.fetchval(
        """
        SELECT count(*) FROM (
            SELECT FROM queue q JOIN lanes l ON l.endpoint_id = q.endpoint_id AND l.lease_token = q.claim_token
            WHERE q.ordered AND q.claim_token > 0 GROUP BY q.endpoint_id, q.esim_id HAVING count(*) > 1
        ) c
        """
    )
    return crowded
