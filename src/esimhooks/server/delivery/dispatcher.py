"""The dispatcher: claims due deliveries in its leased lanes, keeps the lanes fair, runs attempts and passes on the results.

Everything it knows can be lost: leases expire by themselves, and the next leaseholder claims what was in flight.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from time import monotonic
from uuid import UUID

from msgspec import Struct, field, structs

from esimhooks.server.delivery.attempt import Job, attempt, fault, quarantine
from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.lane_scheduler import READY_PER_SLOT, LaneScheduler
from esimhooks.server.delivery.lane_state import LaneState
from esimhooks.server.delivery.lease_manager import LeaseConfig, LeaseManager
from esimhooks.server.delivery.results import ResultWriter
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.delivery import (
    POISON,
    Claimed,
    DeliveryStatus,
    EndpointTarget,
    OutcomeClass,
    is_poison,
    is_suspect,
)
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.ingest.hand_over import DirectDelivery, LaneCapacity
from esimhooks.server.observe.log import get_logger
from esimhooks.server.runtime.loop import Wake, run_guarded
from esimhooks.server.store import endpoints, lanes, queue
from esimhooks.server.store.batch_writes import LeasedLane
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.queue import ClaimRequest
from esimhooks.server.store.results import Result, Written

UNREADABLE = "its event cannot be read from the database, so it is no longer sent. Sending it again starts over"

UNOPENED = "the endpoint's secrets or headers cannot be opened with the present encryption keys"

MAX_UNLEASED = 500
"""How many endpoints may be remembered whose lanes are not leased: some are deleted, and each may take 30 KiB."""

MAX_STARTED = 25
"""How many attempts a turn of the event loop may start, each half a millisecond of work: what else waits for the loop, such as
an answer to who brings the next event, comes in between."""

log = get_logger("dispatcher")


class DispatcherConfig(Struct, frozen=True, kw_only=True):
    """Maxima and times. `max_in_flight` counts attempts of the process, `max_in_flight_lane` those of a lane; the rest are seconds."""

    max_in_flight: int = 500
    max_in_flight_lane: int = 20
    poll_every_s: float = 0.5
    """How late a retry may be claimed; of new deliveries the dispatcher is notified long before."""
    idle_s: float = 3.0
    """The longest pause where nothing is due, in flight or ready, and it is known when the next is due."""
    refresh_every_s: float = 0.5
    """For how long claimed deliveries may still go to an old URL, or to an endpoint that was disabled."""
    drain_s: float = 10.0
    brand: str = "Esimhooks"
    """Names the headers of the hex profile."""
    leases: LeaseConfig = field(default_factory=LeaseConfig)


class Dispatcher:
    """Sends what is due. `wake` is notified when new deliveries were committed."""

    def __init__(
        self,
        database: Database,
        sender: Sender,
        results: ResultWriter,
        *,
        clock: Clock,
        wake: Wake,
        config: DispatcherConfig,
    ) -> None:
        self._database = database
        self._sender = sender
        self._results = results
        self._clock = clock
        self._wake = wake
        self._config = config
        self._scheduler = LaneScheduler(
            max_in_flight=config.max_in_flight, max_in_flight_lane=config.max_in_flight_lane
        )
        self._leases = LeaseManager(database, self._scheduler, config.leases)
        self._targets: dict[UUID, EndpointTarget] = {}
        self._draining = False
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._drained = asyncio.Event()
        self._next_turn: asyncio.TimerHandle | None = None
        self._next_turn_at = 0.0
        self._begin_scheduled = False
        self._refreshed_at = float("-inf")
        self._is_idle = False
        """Whether the loop pauses for long, with nothing in flight when it began to."""
        self.changed: Callable[[], None] = lambda: None
        """Called whenever `capacities` may have changed."""

    async def dispatch(self) -> float:
        """One round of the loop: lease lanes, claim due deliveries, start attempts. Returns the seconds until the next round."""
        self._is_idle = False
        await self._refresh_targets()
        await self._release_claims(await self._leases.refresh())
        self._begin()
        more = await self._claim()
        await self._leases.release_idle()
        self._forget_targets()
        self.changed()
        if more:
            return 0.0
        if (in_s := self._leases.postponed_lease_in_s) > 0:
            return min(in_s, self._config.poll_every_s)
        return await self._pause_s()

    async def _pause_s(self) -> float:
        """Return the seconds until the next round where no notification comes before: few where there is anything to do."""
        if self._tasks or self._scheduler.ready or not self._leases.is_seen:
            return self._config.poll_every_s
        next_due_in_s = await self._leases.next_due_in_s()
        if next_due_in_s is not None and next_due_in_s <= 0:
            return self._config.poll_every_s
        self._is_idle = not self._tasks
        idle_s = min(self._config.idle_s, self._leases.next_heartbeat_in_s)
        return idle_s if next_due_in_s is None else min(idle_s, next_due_in_s)

    def capacities(self) -> dict[UUID, LaneCapacity]:
        """Return the leased lanes that take new deliveries, each due at once, with their capacity."""
        if self._draining:
            return {}
        now, capacity = monotonic(), READY_PER_SLOT * self._config.max_in_flight - self._scheduler.ready
        return {
            endpoint_id: LaneCapacity(
                LeasedLane(lane.lease.token, target.version), min(capacity, lane.direct_capacity(now))
            )
            for endpoint_id, lane in self._scheduler.lanes.items()
            if (target := self._targets.get(endpoint_id)) is not None and target.retry_schedule[0] <= 0
        }

    def with_capacity(self, wanted: Mapping[UUID, int]) -> dict[UUID, LeasedLane]:
        """Return the lanes, by endpoint, that take the `wanted` number of new deliveries, each due at once."""
        found: dict[UUID, LeasedLane] = {}
        now, capacity = monotonic(), READY_PER_SLOT * self._config.max_in_flight - self._scheduler.ready
        for endpoint_id, count in wanted.items():
            target, lane = self._targets.get(endpoint_id), self._scheduler.lanes.get(endpoint_id)
            if self._draining or target is None or lane is None or target.retry_schedule[0] > 0:
                continue
            if count <= min(capacity, lane.direct_capacity(now)):
                capacity -= count
                found[endpoint_id] = LeasedLane(lane.lease.token, target.version)
        return found

    def hand_over(self, deliveries: Sequence[DirectDelivery]) -> None:
        """Start deliveries that were claimed as they were made; where their lane is lost, the next leaseholder finds them."""
        jobs = []
        for one in deliveries:
            endpoint_id = one.claimed.endpoint_id
            if (target := self._targets.get(endpoint_id)) is not None:
                jobs.append(Job(one.claimed, target, one.body, one.traceparent))
            elif (lane := self._scheduler.lanes.get(endpoint_id)) is not None:
                lane.retiring = True
        added = self._scheduler.add(jobs, now=monotonic())
        self._begin()
        if added < len(deliveries) or (self._is_idle and self._scheduler.ready):
            self._wake.notify()

    def invalidate_leases(self) -> None:
        """Renew the leases of all lanes, with new tokens, once they are idle: unknown deliveries may be claimed under the old."""
        for lane in self._scheduler.lanes.values():
            lane.retiring = True
        self._wake.notify()

    async def attempts(self) -> None:
        """Own the attempt tasks until they are drained."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await self._drained.wait()
            finally:
                self._draining = True  # also when cancelled: no task can start in a group that ends

    async def drain(self) -> None:
        """Release claims that were not started, finish and write what is in flight, and release all lanes.

        An attempt that outlasts `drain_s` is cancelled; its lane keeps its lease, because its outcome is unknown.
        """
        self._draining = True
        await self._release_claims(self._scheduler.give_up())
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=self._config.drain_s)
            for task in unfinished:
                task.cancel()
        await self._leases.leave()

    def dismiss(self) -> None:
        """Let `attempts` return once its last task has ended."""
        self._drained.set()

    async def _claim(self) -> bool:
        """Claim due deliveries and start them; true where a lane may have more due and capacity for it."""
        requests = self._scheduler.claim_requests()
        if not requests:
            return False
        try:
            async with self._database.session() as db:
                claims = await queue.claim(db, requests)
            await self._load_targets(claims.claimed)
        except BaseException:
            self._retire(requests)
            raise
        jobs = []
        for one in claims.claimed:
            if (content := claims.contents.get(one.event_id)) is None or is_poison(one):
                self._spawn(one, self._quarantine(one, POISON if content else UNREADABLE))
            elif (target := self._targets.get(one.endpoint_id)) is None:
                self._spawn(one, self._postpone(one))
            else:
                jobs.append(Job(one, target, content.body, content.traceparent))
        self._scheduler.add(jobs, now=monotonic())
        more = self._scheduler.on_claimed(requests, claims.claimed)
        self._begin()
        return more

    def _retire(self, requests: Sequence[ClaimRequest]) -> None:
        """Claim nothing more in these lanes: it is not known which of their requests were granted."""
        for request in requests:
            lane = self._scheduler.lanes.get(request.lease.endpoint_id)
            if lane is not None and lane.lease == request.lease:
                lane.retiring = True

    async def _refresh_targets(self) -> None:
        """Start nothing more for endpoints that were disabled or deleted, and reload those that were changed."""
        if monotonic() - self._refreshed_at < self._config.refresh_every_s:
            return
        self._refreshed_at = monotonic()
        waiting = [
            endpoint_id for endpoint_id, lane in self._scheduler.lanes.items() if lane.waiting and not lane.closed
        ]
        if not waiting:
            return
        async with self._database.session() as db:
            present = {one.endpoint_id: one for one in await lanes.statuses(db, waiting)}
            changed = [
                one.endpoint_id
                for one in present.values()
                if (known := self._targets.get(one.endpoint_id)) is not None and known.version != one.version
            ]
            await self._read_targets(db, changed)
        for endpoint_id in waiting:
            status, lane = present.get(endpoint_id), self._scheduler.lanes.get(endpoint_id)
            if lane is not None and (status is None or not status.is_enabled):
                await self._release_claims(self._scheduler.close(lane))

    async def _load_targets(self, claimed: Sequence[Claimed]) -> None:
        """Load endpoints that are new or have changed since they were last read."""
        unknown = [
            one.endpoint_id
            for one in claimed
            if (known := self._targets.get(one.endpoint_id)) is None or known.version != one.endpoint_version
        ]
        if unknown:
            async with self._database.session() as db:
                await self._read_targets(db, unknown)

    async def _read_targets(self, db: Session, endpoint_ids: Sequence[UUID]) -> None:
        """Reload endpoints; those that were deleted or cannot be decrypted are dropped."""
        if not endpoint_ids:
            return
        read = {target.id: target for target in await endpoints.targets(db, list(set(endpoint_ids)))}
        for endpoint_id in endpoint_ids:
            self._targets.pop(endpoint_id, None)
        self._targets |= read

    def _forget_targets(self) -> None:
        lanes = self._scheduler.lanes
        if len(self._targets) > len(lanes) + MAX_UNLEASED:
            self._targets = {one: target for one, target in self._targets.items() if one in lanes}

    def _begin(self) -> None:
        self.changed()
        if self._draining or self._begin_scheduled:
            return
        started = list(self._scheduler.start_next(now=monotonic(), limit=MAX_STARTED))
        for lane, job in started:
            self._spawn(job.claimed, self._run(lane, job))
        if len(started) == MAX_STARTED:
            self._begin_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_more)
            return
        at = self._scheduler.next_turn_at
        if at is None or (self._next_turn is not None and self._next_turn_at <= at):
            return
        if self._next_turn is not None:
            self._next_turn.cancel()  # another lane may continue sooner
        self._next_turn_at = at
        self._next_turn = asyncio.get_running_loop().call_later(max(0.0, at - monotonic()), self._take_turn)

    def _begin_more(self) -> None:
        self._begin_scheduled = False
        self._begin()

    def _take_turn(self) -> None:
        self._next_turn = None
        self._begin()

    def _spawn(self, claimed: Claimed, work: Coroutine[None, None, None]) -> None:
        if self._group is None:
            work.close()
            return
        name = f"attempt {claimed.delivery_id}"
        task = self._group.create_task(run_guarded(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, lane: LaneState, job: Job) -> None:
        written = Written(stored=False)
        try:
            result, released = await self._attempt(lane, job)
            if result is not None:
                written = await self._write(lane, result)
            await self._release_claims(released)
        finally:
            self._scheduler.on_written(lane, job, now=monotonic(), next_is_due=written.next_is_due)
            self._begin()
            lane.retiring = lane.retiring or not written.stored
            if lane.wants_more or (lane.retiring and lane.idle(monotonic())):
                self._wake.notify()

    async def _attempt(self, lane: LaneState, job: Job) -> tuple[Result | None, list[Job]]:
        """Attempt the job; return its result, and the jobs released because the endpoint is gone or cooling down."""
        try:
            if is_suspect(job.claimed) and not await self._begin_suspect(job.claimed):
                return None, []
            # Read again: its secrets may have changed since the delivery was claimed.
            target = self._targets.get(job.target.id, job.target)
            present = job if target is job.target else structs.replace(job, target=target)
            result = await attempt(present, self._sender, brand=self._config.brand, clock=self._clock)
            transition = None
            if result.outcome.outcome not in (OutcomeClass.INTERNAL, OutcomeClass.GONE):
                transition = lane.transition_after(
                    ok=result.outcome.outcome is OutcomeClass.OK,
                    retry_after_s=result.outcome.retry_after_s or 0.0,
                    jitter=random.random(),  # noqa: S311 - jitter
                )
            cools_down = transition is not None and transition.cooldown_s is not None
            released = self._scheduler.close(lane) if cools_down or result.verdict.endpoint_gone else []
            return result if transition is None else structs.replace(result, transition=transition), released
        finally:
            self._scheduler.on_answered(lane)
            self._begin()

    async def _begin_suspect(self, claimed: Claimed) -> bool:
        async with self._database.session() as db:
            return await queue.begin(db, claimed)

    async def _quarantine(self, claimed: Claimed, why: str) -> None:
        log.error("delivery.quarantined", delivery=str(claimed.delivery_id), reason=why)
        await self._try_to_write(quarantine(claimed, why, clock=self._clock))

    async def _postpone(self, claimed: Claimed) -> None:
        """Record an attempt that could not be made, to be made later; where the endpoint was deleted, nothing is written."""
        await self._try_to_write(fault(claimed, UNOPENED, clock=self._clock))

    async def _write(self, lane: LaneState, result: Result) -> Written:
        """Write the result and return what became of it. A lane that is closed, or leased by another, is released.

        A newer version of the endpoint is noticed as well.
        """
        written = await self._try_to_write(result)
        if self._is_idle and result.verdict.status is DeliveryStatus.PENDING:
            self._wake.notify()  # it is due again sooner than the loop knows
        if not (written.stored and written.is_enabled):
            await self._release_claims(self._scheduler.close(lane))
        elif (known := self._targets.get(lane.lease.endpoint_id)) and known.version < written.endpoint_version:
            self._refreshed_at = float("-inf")
            self._wake.notify()
        return written

    async def _try_to_write(self, result: Result) -> Written:
        """Write the result, retrying while the lease may be valid; if it cannot be written, the delivery is attempted again."""
        deadline = monotonic() + self._config.leases.lease_s
        while True:
            try:
                return await self._results.write(result)
            except NotNow as error:
                if monotonic() > deadline:
                    log.warning("result.lost", delivery=str(result.claimed.delivery_id), reason=error.detail)
                    return Written(stored=False)
                await asyncio.sleep(0.5)

    async def _release_claims(self, jobs: Sequence[Job]) -> None:
        if jobs:
            async with self._database.session() as db:
                await queue.release_claims(db, [job.claimed for job in jobs])
