"""Background jobs are processed in steps: a recovery sends events again, a requery refreshes eSIMs.

Claimed jobs come in; what a step does and how far the job is go out in one transaction, so that a process that dies
loses no row and repeats none. A row that fails is counted with its reason and passed. No transaction is open while a
provider is queried.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import takewhile
from typing import Generic
from uuid import UUID

from msgspec import structs

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.endpoint_rules import EventBody, is_subscribed
from esimhooks.server.domain.errors import NotNow, Refused, Undecryptable
from esimhooks.server.domain.event import event_type_of
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.job import Filter, Job, Missed, RecoveryFilter, RequeryFilter
from esimhooks.server.domain.schedule import outage_delay_s
from esimhooks.server.ingest.batch import BatchResult, Item, apply_batch
from esimhooks.server.ingest.fan_out import delivery_to
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.jobs.due_work import IDLE_S
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.observe.log import get_logger
from esimhooks.server.runtime.for_each import Failed, for_each
from esimhooks.server.store import deliveries, esims, events, jobs, queue, subscriptions
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.fan_outs import FanOut
from esimhooks.server.store.jobs import Candidate
from esimhooks.server.store.subscriptions import Subscription

MAX_CONCURRENT = 4
RECOVERY_STEP = 500
REQUERY_STEP = 5
"""eSIMs that one requery may query before the next has its turn."""
LEASE_S = 60.0
"""How long a node may take for one step of a recovery or one eSIM: longer than databases and providers are waited for."""
FAN_OUT_S = 1.0
"""How long a recovery waits for the deliveries of an event that are still being made: it would send a second one."""
MAX_WAITS = 6
"""How often in a row a provider is waited for, two minutes in all; after that each eSIM it is silent about has failed."""

DISABLED = "the endpoint was disabled meanwhile: enable it and recover again"

log = get_logger("jobs")


class _OvertakenError(Exception):
    """The job was ended, or another node went on with it: what was done in this transaction must not count."""


class _Progress(Generic[Filter]):
    """A job that this node works on, as it was last committed; `lost` where others went on with it or ended it."""

    def __init__(self, database: Database, job: Job[Filter]) -> None:
        self.job = job
        self.lost = False
        self._database = database
        self._written = job

    @property
    def over(self) -> bool:
        """Whether there is nothing more to do for this node."""
        return self.lost or self.job.finished_at is not None

    @asynccontextmanager
    async def step(self) -> AsyncIterator[Session]:
        """Yield a transaction for one step; it is undone where the job is lost."""
        try:
            async with self._database.transaction() as db:
                yield db
        except _OvertakenError:
            self.lost = True
            log.info("job.overtaken", kind=self.job.filter.kind, job=str(self.job.id))
            return
        self.job = self._written
        if self.job.finished_at is not None:
            log.info("job.finished", kind=self.job.filter.kind, job=str(self.job.id), done=self.job.done)

    async def write(self, db: Session, after: Job[Filter], *, again_in_s: float = 0.0) -> None:
        """Write how far the job is, as the last statement of a step."""
        if not await jobs.advance(db, self.job, after, again_in_s=again_in_s):
            raise _OvertakenError
        self._written = after


class BackgroundJobs:
    """Works off jobs. `wakes` are notified after each step."""

    def __init__(self, database: Database, requery: Requery, *, policy: EmitPolicy, clock: Clock, wakes: Wakes) -> None:
        self._database = database
        self._requery = requery
        self._policy = policy
        self._clock = clock
        self._wakes = wakes

    async def process_due_recoveries(self) -> float:
        """One step of the recoveries that have waited longest; the work of a loop."""
        return await self._work_off("recoveries", RecoveryFilter, self._recover)

    async def process_due_requeries(self) -> float:
        """A few eSIMs of the requeries that have waited longest; the work of a loop."""
        return await self._work_off("requeries", RequeryFilter, self._read_esims)

    async def _work_off(
        self, loop: str, kind: type[Filter], step: Callable[[_Progress[Filter]], Awaitable[None]]
    ) -> float:
        async with self._database.transaction() as db:
            claimed = await jobs.claim(db, kind, limit=MAX_CONCURRENT, lease_s=LEASE_S)
        begun = [_Progress(self._database, job) for job in claimed]
        await for_each(loop, begun, step, row_id=lambda one: one.job.id, max_concurrent=MAX_CONCURRENT)
        return 0.0 if claimed else IDLE_S

    async def _recover(self, progress: _Progress[RecoveryFilter]) -> None:
        """Send the next events again; should that fail, one by one, to find and pass the ones that fail."""
        failed = await _run_guarded("recoveries", progress, partial(self._send_next, progress, RECOVERY_STEP, 0.0))
        if failed is None:
            return
        for left in reversed(range(RECOVERY_STEP)):
            again_in_s, before = LEASE_S if left else 0.0, progress.job.cursor
            failed = await _run_guarded("recoveries", progress, partial(self._send_next, progress, 1, again_in_s))
            if failed is not None:
                await self._pass_event(progress, failed, again_in_s)
            if progress.over or progress.job.cursor == before:  # the deliveries of the next one are still being made
                return

    async def _send_next(self, progress: _Progress[RecoveryFilter], limit: int, again_in_s: float) -> None:
        job = progress.job
        sent = 0
        async with progress.step() as db:
            endpoint = await _lock_endpoint(db, job)
            if endpoint is None:
                raise _OvertakenError
            if not endpoint.enabled:
                await progress.write(db, structs.replace(job, problem=DISABLED, finished_at=self._clock()))
                return
            candidates = await jobs.next_candidates(db, job, limit=limit)
            ready = list(takewhile(lambda one: not one.fans_out, candidates))
            sent = await _send(db, job, endpoint, ready)
            after = structs.replace(
                job,
                cursor=ready[-1].event_id if ready else job.cursor,
                done=job.done + len(ready),
                changed=job.changed + sent,
                finished_at=self._clock() if len(ready) < limit and len(ready) == len(candidates) else None,
            )
            await progress.write(db, after, again_in_s=FAN_OUT_S if candidates and not ready else again_in_s)
        if sent and not progress.lost:
            self._wakes.due.notify()

    async def _pass_event(self, progress: _Progress[RecoveryFilter], error: Exception, again_in_s: float) -> None:
        async with progress.step() as db:
            [candidate] = await jobs.next_candidates(db, progress.job, limit=1)
            reason = f"{text_of(Prefix.EVENT, candidate.event_id)}: {_reason(error)}"
            await progress.write(db, _count_failure(progress.job, candidate.event_id, reason), again_in_s=again_in_s)

    async def _read_esims(self, progress: _Progress[RequeryFilter]) -> None:
        async with self._database.session() as db:
            esim_ids = await jobs.next_esims(db, progress.job, limit=REQUERY_STEP + 1)
        if not esim_ids:
            await self._finish(progress)
        for index, esim_id in enumerate(esim_ids[:REQUERY_STEP], 1):
            again_in_s = 0.0 if index == REQUERY_STEP else LEASE_S
            failed = await _run_guarded("requeries", progress, partial(self._read, progress, esim_id, again_in_s))
            if failed is not None:
                reason = f"{text_of(Prefix.ESIM, esim_id)}: {_reason(failed)}"
                async with progress.step() as db:
                    await progress.write(db, _count_failure(progress.job, esim_id, reason), again_in_s=again_in_s)
            if progress.over or progress.job.cursor != esim_id:  # the provider is waited for
                return
        if len(esim_ids) <= REQUERY_STEP:
            await self._finish(progress)

    async def _read(self, progress: _Progress[RequeryFilter], esim_id: UUID, again_in_s: float) -> None:
        """Refresh one eSIM, and write what came of it together with how far the job is."""
        job = progress.job
        item: Item | None = None
        applied: BatchResult | None = None
        try:
            item = await self._query(job.tenant, esim_id)
            # That it was waited for is no problem any more; why others failed still is.
            after = structs.replace(
                job, cursor=esim_id, done=job.done + 1, waits=0, problem=job.problem if job.failed else None
            )
        except NotNow as error:
            if job.waits < MAX_WAITS:
                after = structs.replace(job, waits=job.waits + 1, problem=error.detail)
                again_in_s = outage_delay_s(after.waits, requested_s=error.retry_after_s)
            else:
                after = structs.replace(_count_failure(job, esim_id, error.detail), waits=job.waits)
        except Refused as error:
            after = _count_failure(job, esim_id, error.detail)
        async with progress.step() as db:
            if item is not None:
                applied = await apply_batch(db, [item], self._policy)
                [[result]] = applied.results
                if result.outcome is UpdateOutcome.WAITING:  # it is not done
                    raise NotNow(result.detail or "the eSIM waits")
                if result.outcome is UpdateOutcome.APPLIED:
                    after = structs.replace(after, changed=job.changed + 1)
            await progress.write(db, after, again_in_s=again_in_s)
        if applied is not None:
            self._wakes.notify(applied)

    async def _query(self, tenant: Tenant, esim_id: UUID) -> Item:
        async with self._database.session() as db:
            esim = await esims.find(db, tenant, esim_id)
        if esim is None:
            raise Refused.not_found(f"{text_of(Prefix.ESIM, esim_id)} no longer exists")
        return await self._requery.fetch(esim)

    async def _finish(self, progress: _Progress[RequeryFilter]) -> None:
        async with progress.step() as db:
            await progress.write(db, structs.replace(progress.job, finished_at=self._clock()))


async def _run_guarded(loop: str, progress: _Progress[Filter], work: Callable[[], Awaitable[None]]) -> Exception | None:
    """Await the work and return the error of a row; raises `NotNow`, after which the whole step is tried again."""
    failed: Sequence[Failed[_Progress[Filter]]] = await for_each(
        loop, [progress], lambda _: work(), row_id=lambda one: one.job.id
    )
    if not failed:
        return None
    if isinstance(failed[0].error, NotNow):
        raise failed[0].error
    return failed[0].error


def _count_failure(job: Job[Filter], row_id: UUID, reason: str) -> Job[Filter]:
    return structs.replace(job, cursor=row_id, done=job.done + 1, failed=job.failed + 1, problem=reason, waits=0)


def _reason(error: Exception) -> str:
    """Return what people may read of an error in a row; the log has the rest."""
    return (
        "it cannot be decrypted"
        if isinstance(error, Undecryptable)
        else "an internal error occurred; the server's log has the details"
    )


async def _lock_endpoint(db: Session, job: Job[RecoveryFilter]) -> Subscription | None:
    """Lock the endpoint before its job, as whoever deletes it does (docs/decisions/0020)."""
    assert job.endpoint_id is not None  # noqa: S101 - every recovery has one
    return await subscriptions.find(db, job.tenant, job.endpoint_id, lock=True)


async def _send(db: Session, job: Job[RecoveryFilter], endpoint: Subscription, candidates: Sequence[Candidate]) -> int:
    """Put what is wanted of these events into the endpoint's lane, in their order; return how many."""
    statuses = job.filter.statuses
    ended = [one.delivery_id for one in candidates if one.delivery_id is not None and one.status in statuses]
    never = [one for one in candidates if _never_sent(endpoint, statuses, one)]
    new = [
        delivery_to(
            endpoint, job.tenant, FanOut(event_id=one.event_id, event_type=event_type_of(one.type), esim_id=one.esim_id)
        )
        for one in await _passing(db, endpoint, never)
    ]
    if not ended and not new:
        return 0
    again = await deliveries.reopen(db, ended, ordering=endpoint.ordering)
    await deliveries.insert(db, new)
    await queue.enqueue(db, sorted([*again, *new], key=lambda one: one.event_id))
    return len(again) + len(new)


async def _passing(db: Session, endpoint: Subscription, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return those that the endpoint's filter lets through."""
    if endpoint.filter is None or not candidates:
        return candidates
    contents = await events.contents(db, [one.event_id for one in candidates])
    return [
        one
        for one in candidates
        if one.event_id not in contents or EventBody(contents[one.event_id].body).passes(endpoint.filter)
    ]


def _never_sent(endpoint: Subscription, statuses: Sequence[Missed], one: Candidate) -> bool:
    never = one.delivery_id is None and Missed.NEVER in statuses
    return never and is_subscribed(endpoint.event_types, event_type_of(one.type))
