"""Manages the leases of this dispatcher: leases its share of the lanes, renews them, gives up any surplus, releases.

Dispatchers on one database share the lanes without talking to each other: each reports that it is alive and leases its
share. The leases of a dead one are released by the others within seconds where its connection is seen to have ended, and
expire within 30 s where not.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import ceil
from time import monotonic

from msgspec import Struct

from esimhooks.server.delivery.attempt import Job
from esimhooks.server.delivery.lane_scheduler import LaneScheduler
from esimhooks.server.domain.ids import new_id
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import lanes
from esimhooks.server.store.database import Database

log = get_logger("dispatcher")


class LeaseConfig(Struct, frozen=True, kw_only=True):
    """Times in seconds, and how many lanes one dispatcher may lease."""

    max_lanes: int = 2000
    lease_s: float = 30.0
    renew_every_s: float = 10.0
    heartbeat_every_s: float = 1.0
    heartbeat_idle_s: float = 3.0
    """The same while no lane is leased, so that nothing is lost with a dispatcher that dies."""
    lease_every_s: float = 0.02
    """Lanes are looked for at most this often, however many notifications come: each search visits every waiting lane."""
    linger_s: float = 10.0
    """How long an idle lane stays leased, so that a steady trickle does not lease it again each time."""
    backend: Callable[[], lanes.Backend | None] | None = None
    """What serves a connection that lives exactly as long as this process, so that others notice its death; None where
    there is no such connection."""
    backend_wait_s: float = 2.0
    """How long nothing is leased where that connection is not open yet: whoever died then would not be noticed."""


class LeaseManager:
    """Keeps the lanes of the scheduler leased."""

    def __init__(self, database: Database, scheduler: LaneScheduler, config: LeaseConfig) -> None:
        self.holder = new_id()
        self._database = database
        self._scheduler = scheduler
        self._config = config
        self._renewed_at = monotonic()
        self._heartbeat_at = float("-inf")
        self._heartbeat_backend: lanes.Backend | None = None
        self._leased_at = float("-inf")
        self._unseen_since = monotonic()
        """Since when others would not notice that this dispatcher dies."""
        self._lease_was_postponed = False
        self._leases_uncertain = False
        """Whether the database may have leases of this process that the scheduler lacks: the answer to a statement was lost."""
        self._presence = lanes.Presence(dispatchers=1, lanes=0)

    async def refresh(self) -> list[Job]:
        """Renew leases, lease lanes that are due, and return the jobs that were ready in lanes given up to others."""
        await self._release_unknown()
        await self._renew()
        surplus = await self._heartbeat()
        await self._lease()
        return self._scheduler.give_up(surplus) if surplus else []

    @property
    def next_heartbeat_in_s(self) -> float:
        """Seconds until this dispatcher must report again: at once where others could not see yet that it dies."""
        if self._backend != self._heartbeat_backend:
            return 0.0
        is_idle = not self._scheduler.lanes and not self._presence.lanes
        every_s = self._config.heartbeat_idle_s if is_idle else self._config.heartbeat_every_s
        return max(0.0, self._heartbeat_at + every_s - monotonic())

    @property
    def is_seen(self) -> bool:
        """Whether others would notice at once that this dispatcher dies."""
        return self._backend is not None

    @property
    def _backend(self) -> lanes.Backend | None:
        return self._config.backend() if self._config.backend is not None else None

    async def next_due_in_s(self) -> float | None:
        """Return the seconds until a delivery is due in a lane that may be leased then; None where none will be."""
        async with self._database.session() as db:
            return await lanes.next_due_in_s(db)

    @property
    def postponed_lease_in_s(self) -> float:
        """Seconds until lanes may be looked for, where this was put off in the last round; otherwise 0."""
        return self._lease_allowed_in_s if self._lease_was_postponed else 0.0

    @property
    def _lease_allowed_in_s(self) -> float:
        allowed_at = self._leased_at + self._config.lease_every_s
        if self._config.backend is not None and self._heartbeat_backend is None:
            allowed_at = max(allowed_at, self._unseen_since + self._config.backend_wait_s)
        return max(0.0, allowed_at - monotonic())

    async def release_idle(self) -> None:
        """Release lanes that have been idle for a while, and closed lanes that are done."""
        now = monotonic()
        idle = [
            lane.lease
            for lane in self._scheduler.lanes.values()
            if lane.idle(now) and (lane.retiring or now - lane.busy_at > self._config.linger_s)
        ]
        if idle:
            self._scheduler.drop([lease.endpoint_id for lease in idle])
            self._leases_uncertain = True
            async with self._database.session() as db:
                await lanes.release(db, idle)
            self._leases_uncertain = False

    async def leave(self) -> None:
        """Release all lanes whose outcomes are all written; the others keep their lease until it expires.

        Waits, for a second at most, until every rate limit lets the next leaseholder start.
        """
        # Chosen before anything else runs: cancelled attempts count as written when they end.
        written = [lane.lease for lane in self._scheduler.lanes.values() if not lane.unwritten]
        spaced_at = max((lane.next_start for lane in self._scheduler.lanes.values()), default=0.0)
        await asyncio.sleep(spaced_at - monotonic())
        async with self._database.session() as db:
            if written:
                await lanes.release(db, written)
            await lanes.deregister(db, holder=self.holder)

    async def _renew(self) -> None:
        if not self._scheduler.lanes or monotonic() - self._renewed_at < self._config.renew_every_s:
            return
        requested_at = monotonic()
        async with self._database.session() as db:
            still = await lanes.renew(db, self._leases(), seconds=self._config.lease_s)
        self._renewed_at = monotonic()
        self._scheduler.on_renewed(still, until=requested_at + self._config.lease_s)

    async def _heartbeat(self) -> int:
        """Report that this dispatcher is alive; return how many of its lanes exceed its share."""
        if self.next_heartbeat_in_s > 0:
            return 0
        backend = self._backend
        async with self._database.session() as db:
            self._presence = await lanes.heartbeat(
                db, holder=self.holder, seconds=self._config.lease_s, backend=backend
            )
            if self._presence.some_dead and (count := await lanes.release_dead(db, seconds=self._config.lease_s)):
                log.warning("dispatchers.died", count=count)
        if backend is None and self._heartbeat_backend is not None:
            self._unseen_since = monotonic()
        self._heartbeat_at, self._heartbeat_backend = monotonic(), backend
        leased = len(self._scheduler.lanes)
        if self._presence.dispatchers > 1:
            # One lane more than the share is not worth the change.
            return max(0, leased - ceil(self._presence.lanes / self._presence.dispatchers) - 1)
        # A full dispatcher must not keep out the lanes that wait for it.
        return leased // 10 if leased >= self._config.max_lanes else 0

    async def _lease(self) -> None:
        capacity = self._config.max_lanes - len(self._scheduler.lanes)
        self._lease_was_postponed = capacity > 0 and self._lease_allowed_in_s > 0
        if capacity <= 0 or self._lease_was_postponed:
            return
        self._leases_uncertain = True
        requested_at = monotonic()
        async with self._database.session() as db:
            leased = await lanes.lease(
                db,
                holder=self.holder,
                seconds=self._config.lease_s,
                share_of=self._presence.dispatchers,
                limit=capacity,
            )
        self._leased_at = monotonic()
        self._scheduler.add_leased(leased, now=monotonic(), until=requested_at + self._config.lease_s)
        self._leases_uncertain = False

    async def _release_unknown(self) -> None:
        """Release leases that we do not know of: those lanes would not be served until they expire."""
        if not self._leases_uncertain:
            return
        async with self._database.session() as db:
            await lanes.release_others(db, holder=self.holder, known=self._leases())
        self._leases_uncertain = False

    def _leases(self) -> Sequence[lanes.Lease]:
        return [lane.lease for lane in self._scheduler.lanes.values()]
