"""The queue against its model: dispatchers, merchants, crashes and time do what they can to it, in any order.

Promised, and looked at after every step: no delivery disappears; it has one visible state, and a row in the queue exactly
while it is pending; a stale token never writes; nothing is claimed before it is due; of an eSIM whose order is kept one
is out at most; every attempt that counts is logged once. `make fuzz-queue` runs it for long.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from esimhooks.server.domain.breaker import BreakerState, Transition
from esimhooks.server.domain.delivery import Claimed, DeliveryStatus, Verdict, is_suspect
from esimhooks.server.store import lanes, queue
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.server.store.lanes import Lease
from esimhooks.server.store.queue import ClaimRequest
from store.locks import until_somebody_waits
from store.queue_machine import Dispatcher, DisturbedQueue, either
from store.queue_model import LEASE_S, Row
from system.stored_lanes import DELIVERED, FAILED, GONE, write

LONG = os.environ.get("QUEUE_EXAMPLES")
"""How many stories the queue goes through in a long run."""

AGAIN = Verdict(status=DeliveryStatus.PENDING, delay_s=10_000)
AT_ONCE = Verdict(status=DeliveryStatus.PENDING, delay_s=0)
NOT_COUNTED = Verdict(status=DeliveryStatus.PENDING, delay_s=5_000, counts=False)
FAILS = Transition(BreakerState(failures=3))
RESTS = Transition(BreakerState(failures=10, allowed=1), cooldown_s=3_000)
RESULTS = [
    (DELIVERED, Transition(BreakerState())),
    (FAILED, FAILS),
    (AGAIN, FAILS),
    (AGAIN, RESTS),
    (AT_ONCE, FAILS),
    (NOT_COUNTED, None),
    (GONE, None),
]
indices = st.sets(st.integers(0, 7), min_size=1)


@dataclass
class LateClaim:
    """A statement that claims deliveries and waits in the middle; `chosen` is what it found before, with claims and attempts."""

    dispatcher: Dispatcher
    chosen: Sequence[tuple[Row, int, int, int, Lease]]
    running: "asyncio.Task[Sequence[Claimed]]"
    blocker: AsyncExitStack


class ServedQueue(DisturbedQueue):
    """What two dispatchers do."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database) -> None:
        super().__init__(loop, database)
        self.spent: list[tuple[Claimed, Verdict]] = []
        self.late: LateClaim | None = None

    @precondition(lambda self: self.model.leasable())
    @rule(who=either, limit=st.sampled_from([1, 10]))
    def lease(self, who: int, limit: int) -> None:
        dispatcher = self.dispatchers[who]
        since = self.model.leasable()
        leased = self._do(
            lambda db: lanes.lease(db, holder=dispatcher.holder, seconds=LEASE_S, share_of=1, limit=limit)
        )
        granted = {one.lease.endpoint_id: one.lease for one in leased}
        assert len(granted) == min(limit, len(since))
        assert all(since[one] <= since[other] for one in granted for other in since.keys() - granted)
        assert granted == {one: self.model.lease(one) for one in granted}
        dispatcher.leases |= granted

    @precondition(lambda self: self._hungry())
    @rule(who=either, capacity=st.sampled_from([1, 2, 100]))
    def claim(self, who: int, capacity: int) -> None:
        self._claim(self._one_of(self._hungry(), who), capacity)

    def _claim(self, dispatcher: Dispatcher, capacity: int) -> None:
        taken = self._do(
            lambda db: queue.claim(db, [ClaimRequest(lease, capacity) for lease in dispatcher.leases.values()])
        ).claimed
        for lease in dispatcher.leases.values():
            may = self.model.may_claim(lease)
            got = [self.model.rows[one.delivery_id] for one in taken if one.endpoint_id == lease.endpoint_id]
            assert len(got) == min(capacity, len(may))
            assert all(row in may for row in got), "claimed early, out of turn, or twice"
            assert all(row.due <= other.due for row in got for other in may if other not in got)
        for one in taken:
            row = self.model.rows[one.delivery_id]
            assert (one.attempts, one.attempts_this_round, one.claims) == (row.attempts, row.this_round, row.claims)
            self.model.claim(row, one)
        dispatcher.out += taken

    @precondition(lambda self: self.model.leasable())
    @rule(who=either)
    def lease_and_claim(self, who: int) -> None:
        self.lease(who, 10)
        self._claim(self.dispatchers[who], 100)

    @precondition(lambda self: self.late is None and self._hungry())
    @rule(who=either)
    def begin_late_claim(self, who: int) -> None:
        """Have a dispatcher choose what it claims and delay it, at a row of the gate's, before it has written that."""
        dispatcher = self._one_of(self._hungry(), who)
        leases = list(dispatcher.leases.values())
        chosen = [
            (row, row.position, row.claims, row.attempts, lease)
            for lease in leases
            for row in self.model.may_claim(lease)
        ]
        requests = [ClaimRequest(lease, 100) for lease in (Lease(self.gate.endpoint_id, 1), *leases)]

        async def claim() -> Sequence[Claimed]:
            async with self._database.session() as db:
                return (await queue.claim(db, requests)).claimed

        async def begin(blocker: AsyncExitStack) -> "asyncio.Task[Sequence[Claimed]]":
            db = await blocker.enter_async_context(self._database.transaction())
            await db.conn.execute("SELECT FROM queue WHERE event_type = 'gate' FOR UPDATE")
            running = self._loop.create_task(claim())
            await until_somebody_waits(self._database)
            return running

        blocker = AsyncExitStack()
        self.claim_is_blocked = True
        self.late = LateClaim(dispatcher, chosen, self._loop.run_until_complete(begin(blocker)), blocker)

    @precondition(lambda self: self.late is not None)
    @rule()
    def end_late_claim(self) -> None:
        late, self.late, self.claim_is_blocked = self.late, None, False
        assert late is not None

        async def end() -> Sequence[Claimed]:
            await late.blocker.aclose()
            return await late.running

        taken = [one for one in self._loop.run_until_complete(end()) if one.endpoint_id != self.gate.endpoint_id]
        claimed = {one.delivery_id: one for one in taken}
        expected = {}
        for row, position, claims, attempts, lease in late.chosen:
            # What became due anew in the meantime did so after this statement's own time.
            due = row.due <= self.model.now if row.attempts == attempts else row.due < self.model.now
            if row.pending and row.position == position and row.token < lease.token and due:
                expected[row.delivery.id] = claims
                self.model.claim(row, claimed[row.delivery.id])
        assert {one.delivery_id: one.claims for one in taken} == expected
        late.dispatcher.out += taken
        self._execute("UPDATE queue SET claim_token = 0, claims = 0 WHERE event_type = 'gate'")

    @precondition(lambda self: self._busy())
    @rule(who=either, indices=indices, result=st.sampled_from(RESULTS))
    def finish(self, who: int, indices: set[int], result: tuple[Verdict, Transition | None]) -> None:
        done = self._one_of(self._busy(), who).pick(indices)
        verdict, transition = result
        kept = self._loop.run_until_complete(write(self._database, done, verdict, transition=transition))
        assert kept == self.model.write(done, verdict, transition)
        self.spent += [(one, verdict) for one in done]

    @precondition(lambda self: self.spent)
    @rule(index=st.integers(0, 4))
    def hand_in_again(self, index: int) -> None:
        """Write a late result once more, as after a commit whose answer was lost."""
        claimed, verdict = self.spent[-1 - index % len(self.spent)]
        kept = self._loop.run_until_complete(write(self._database, [claimed], verdict))
        assert kept == self.model.write([claimed], verdict, None)

    @precondition(lambda self: self._busy())
    @rule(who=either, indices=indices)
    def release_claims(self, who: int, indices: set[int]) -> None:
        released = self._one_of(self._busy(), who).pick(indices)
        self._do(lambda db: queue.release_claims(db, released))
        self.model.release_claims(released)

    @precondition(lambda self: any(is_suspect(one) for each in self.dispatchers for one in each.out))
    @rule()
    def begin_suspects(self) -> None:
        def begin(claimed: Claimed) -> bool:
            return self._do(lambda db: queue.begin(db, claimed))

        for claimed in [one for each in self.dispatchers for one in each.out if is_suspect(one)]:
            assert begin(claimed) == self.model.begin(claimed)

    @precondition(lambda self: any(one.leases for one in self.dispatchers))
    @rule(who=either)
    def renew(self, who: int) -> None:
        dispatcher = self.dispatchers[who]
        still = self._do(lambda db: lanes.renew(db, list(dispatcher.leases.values()), seconds=LEASE_S))
        assert still == self.model.renew(dispatcher.leases.values())
        dispatcher.leases = {one: lease for one, lease in dispatcher.leases.items() if one in still}

    @precondition(lambda self: any(one.leases for one in self.dispatchers))
    @rule(who=either)
    def release_idle(self, who: int) -> None:
        dispatcher = self.dispatchers[who]
        busy = {one.endpoint_id for one in dispatcher.out}
        idle = [lease for endpoint_id, lease in dispatcher.leases.items() if endpoint_id not in busy]
        self._do(lambda db: lanes.release(db, idle))
        self.model.release(idle)
        dispatcher.leases = {one: lease for one, lease in dispatcher.leases.items() if one in busy}

    def teardown(self) -> None:
        if self.late is not None:
            self.end_late_claim()
        for table in ("queue", "attempts", "deliveries", "events", "accounts"):
            self._execute(f"DELETE FROM {table}")

    def _busy(self) -> list[Dispatcher]:
        return [one for one in self.dispatchers if one.out]

    def _hungry(self) -> list[Dispatcher]:
        return [one for one in self.dispatchers if any(map(self.model.may_claim, one.leases.values()))]

    @staticmethod
    def _one_of(dispatchers: Sequence[Dispatcher], who: int) -> Dispatcher:
        return dispatchers[who % len(dispatchers)]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs only while a step does: hypothesis knows nothing of coroutines."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.mark.slow(reason="hundreds of steps, and after each the whole queue is compared with its model")
@pytest.mark.timeout(0 if LONG else 120)
def test_the_queue_does_what_its_model_does(migrated: str, loop: asyncio.AbstractEventLoop) -> None:
    database = loop.run_until_complete(connect(migrated, Cipher([new_key()])))

    class Queue(ServedQueue):
        def __init__(self) -> None:
            super().__init__(loop, database)

    profile = settings(
        max_examples=int(LONG or 15),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Queue, settings=profile)
    finally:
        loop.run_until_complete(database.close())
