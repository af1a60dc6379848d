"""The dispatcher: leases lanes that have work due, keeps them fair, runs attempts and hands results on.

Everything it knows can be lost: leases end by themselves, and what was in flight is taken up by the next holder.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic
from uuid import UUID

from msgspec import Struct

from esimhooks.server.engine.attempt import Job, attempt
from esimhooks.server.engine.lane_table import HeldLane, LaneTable
from esimhooks.server.engine.loop import guarded
from esimhooks.server.engine.outcomes import Outcomes
from esimhooks.server.engine.wake import Wake
from esimhooks.server.model.clock import Clock
from esimhooks.server.model.delivery import Claimed, EndpointTarget
from esimhooks.server.model.errors import NotNow
from esimhooks.server.model.ids import new_id
from esimhooks.server.observe.log import get_logger
from esimhooks.server.sender.sender import Sender
from esimhooks.server.store import endpoints, events, lanes
from esimhooks.server.store.database import Database

log = get_logger("dispatcher")


class DispatcherConfig(Struct, frozen=True, kw_only=True):
    """Caps and times. `process_cap` and `lane_cap` are attempts in flight; the rest are seconds."""

    process_cap: int = 500
    lane_cap: int = 20
    most_lanes: int = 200
    lease_s: float = 30.0
    renew_every_s: float = 10.0
    linger_s: float = 1.0
    """How long an idle lane is kept, so that a steady trickle does not lease it anew each time."""
    poll_every_s: float = 0.5
    """How late a retry may be taken up; for new deliveries bells ring long before."""
    drain_s: float = 10.0


class Dispatcher:
    """Sends what is due. `wake` is rung when new deliveries were committed."""

    def __init__(
        self,
        database: Database,
        sender: Sender,
        outcomes: Outcomes,
        *,
        clock: Clock,
        wake: Wake,
        config: DispatcherConfig,
    ) -> None:
        self.holder = new_id()
        self._database = database
        self._sender = sender
        self._outcomes = outcomes
        self._clock = clock
        self._wake = wake
        self._config = config
        self._table = LaneTable(process_cap=config.process_cap, lane_cap=config.lane_cap)
        self._targets: dict[UUID, EndpointTarget] = {}
        self._renewed_at = monotonic()
        self._draining = False
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._drained = asyncio.Event()

    async def dispatch(self) -> float:
        """One round: renew, lease, take up and begin; the work of a loop. Returns the seconds until the next."""
        await self._renew()
        room = self._config.most_lanes - len(self._table.lanes)
        if room > 0:
            async with self._database.session() as db:
                leased = await lanes.lease(db, holder=self.holder, seconds=self._config.lease_s, limit=room)
            self._table.hold(leased, now=monotonic())
        more = await self._take()
        await self._release_idle()
        return 0.0 if more else self._config.poll_every_s

    async def attempts(self) -> None:
        """Own the tasks of the attempts until they are drained."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._drained.wait()

    async def drain(self) -> None:
        """Give back what was not begun, finish what is in flight, write it, and release all lanes.

        An attempt that outlasts `drain_s` is cut off; its lane keeps its lease, as nobody knows its outcome.
        """
        self._draining = True
        await self._put_back(self._table.take_back())
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=self._config.drain_s)
            for task in unfinished:
                task.cancel()
        left = [lane.lease for lane in self._table.lanes.values() if lane.idle]
        if left:
            async with self._database.session() as db:
                await lanes.release(db, left)

    def dismiss(self) -> None:
        """Let `attempts` return once its last task has ended."""
        self._drained.set()

    async def _take(self) -> bool:
        """Take up due deliveries and begin them; true where a lane may have more and room for it."""
        wishes = self._table.wishes()
        if not wishes:
            return False
        try:
            async with self._database.session() as db:
                claimed = await lanes.take(db, wishes)
                bodies = await events.bodies(db, list({one.event_id for one in claimed})) if claimed else {}
            await self._know_targets(claimed)
        except BaseException:
            self._table.retire(wishes)
            raise
        self._table.add(
            [
                Job(one, self._targets[one.endpoint_id], bodies[one.event_id])
                for one in claimed
                if one.endpoint_id in self._targets and one.event_id in bodies
            ],
            now=monotonic(),
        )
        more = self._table.note_more(wishes, claimed)
        self._begin()
        return more

    async def _know_targets(self, claimed: Sequence[Claimed]) -> None:
        """Read endpoints that are new or have changed since they were last read."""
        unknown = {
            one.endpoint_id
            for one in claimed
            if (known := self._targets.get(one.endpoint_id)) is None or known.version != one.endpoint_version
        }
        if unknown:
            async with self._database.session() as db:
                for target in await endpoints.targets(db, list(unknown)):
                    self._targets[target.id] = target

    def _begin(self) -> None:
        if self._draining or self._group is None:
            return
        for lane, job in self._table.start_next():
            name = f"attempt {job.claimed.delivery_id}"
            task = self._group.create_task(guarded(name, self._run(lane, job)), name=name)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, lane: HeldLane, job: Job) -> None:
        written = False
        try:
            try:
                result = await attempt(job, self._sender, clock=self._clock)
                given_up = self._table.close(lane) if result.verdict.endpoint_gone else []
            finally:
                self._table.answered(lane)
                self._begin()
            written = await self._write(result)
            await self._put_back(given_up)
        finally:
            self._table.settled(lane, now=monotonic())
            lane.retiring = lane.retiring or not written
            if lane.wants_more or (lane.retiring and lane.idle):
                self._wake.ring()

    async def _write(self, result: lanes.Result) -> bool:
        """Write the result, trying again while the lease may hold; false where it is lost and will be attempted anew."""
        deadline = monotonic() + self._config.lease_s
        while True:
            try:
                await self._outcomes.write(result)
            except NotNow as error:
                if monotonic() > deadline:
                    log.warning("result.lost", delivery=str(result.claimed.delivery_id), reason=error.detail)
                    return False
                await asyncio.sleep(0.5)
            else:
                return True

    async def _put_back(self, jobs: Sequence[Job]) -> None:
        if jobs:
            async with self._database.session() as db:
                await lanes.put_back(db, [job.claimed for job in jobs])

    async def _renew(self) -> None:
        if not self._table.lanes or monotonic() - self._renewed_at < self._config.renew_every_s:
            return
        held = [lane.lease for lane in self._table.lanes.values()]
        async with self._database.session() as db:
            still = await lanes.renew(db, held, seconds=self._config.lease_s)
        self._renewed_at = monotonic()
        self._table.drop([lease.endpoint_id for lease in held if lease.endpoint_id not in still])

    async def _release_idle(self) -> None:
        now = monotonic()
        idle = [
            lane.lease
            for lane in self._table.lanes.values()
            if lane.idle and (lane.retiring or now - lane.busy_at > self._config.linger_s)
        ]
        if idle:
            self._table.drop([lease.endpoint_id for lease in idle])
            async with self._database.session() as db:
                await lanes.release(db, idle)
