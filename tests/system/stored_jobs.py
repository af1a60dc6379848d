"""Recoveries in a real database, worked off a step at a time, for tests of background jobs without a node."""

from datetime import UTC, datetime, timedelta
from typing import NoReturn

from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.job import NOT_ARRIVED, Job, RecoveryFilter
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.jobs.background import BackgroundJobs
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.manage.jobs import MissedEvents, begin_recovery, find_job
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store.database import Database
from factories import SERVER
from system.stored_lanes import FAILED, Lane, a_lane, claim, lease, write


def now() -> datetime:
    return datetime.now(UTC)


def a_worker(database: Database) -> BackgroundJobs:
    wakes = Wakes(due=Wake(), backlog=Wake(), fan_out=Wake(), doubts=Wake(), streams=Wake())
    requery = Requery(ProviderClients(database, _no_provider), policy=EmitPolicy(), wakes=wakes)
    return BackgroundJobs(database, requery, policy=EmitPolicy(), clock=now, wakes=wakes)


async def a_recovery(database: Database, *, of: int = 3) -> tuple[Lane, Job[RecoveryFilter]]:
    """Return a lane whose deliveries have failed, and the recovery that is to send them again."""
    lane = await a_lane(database, due=of)
    [leased] = await lease(database)
    await write(database, await claim(database, leased), FAILED)
    begins = now() - timedelta(hours=1)
    missed = MissedEvents(start=begins, end=begins + timedelta(hours=2), statuses=NOT_ARRIVED)
    async with database.transaction() as db:
        return lane, await begin_recovery(db, SERVER, lane.tenant, lane.endpoint_id, missed, now=now())


async def present(database: Database, job: Job[RecoveryFilter]) -> Job[RecoveryFilter]:
    async with database.session() as db:
        return await find_job(db, job.tenant, RecoveryFilter, job.id)


def _no_provider(_config: object, _pace: object) -> NoReturn:
    raise AssertionError("a recovery asks no provider")
