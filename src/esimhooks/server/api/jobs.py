"""Background jobs: `POST .../recover` sends again what did not arrive, `POST /v1/esims/requery` refreshes eSIMs.

Both answer with a job whose progress is shown and which can be cancelled; with `dryRun` they only count.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field
from msgspec.structs import asdict

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import AwareTime, EndpointId, RecoveryId, RequeryId, in_utc
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.ids import Prefix, made_at
from esimhooks.server.domain.job import NOT_ARRIVED, Job, Missed, RecoveryFilter, RequeryFilter
from esimhooks.server.domain.validation import PRINTABLE
from esimhooks.server.manage import jobs as manage_jobs
from esimhooks.server.manage.jobs import MissedEvents
from esimhooks.server.store import jobs
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import EsimStatus
from esimhooks.vocabulary.timestamps import timestamp

SearchText = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]


class RecoverBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Which events to send again: those raised from `from` until before `to` (default: now), by status.

    `never` are events without a delivery to the endpoint. With `dryRun` they are only counted.
    """

    start: AwareTime = field(name="from")
    end: AwareTime | None = field(name="to", default=None)
    statuses: Annotated[list[Missed], Meta(min_length=1, max_length=len(Missed))] = field(
        default_factory=lambda: list(NOT_ARRIVED)
    )
    dry_run: bool = False


class CountView(Struct, rename="camel"):
    """How many events a recovery would send, in total and by status."""

    total: int
    by_status: dict[Missed, int]


class RecoveryView(Struct, rename="camel", kw_only=True):
    """A recovery.

    `total` were counted at its start, `seen` were processed, `sent` were queued and `failed` could not be; `problem`
    says why the last one failed. `finishedAt` is null while it runs.
    """

    id: str
    endpoint: str
    start: str = field(name="from")
    end: str = field(name="to")
    statuses: list[Missed]
    total: int
    seen: int
    sent: int
    failed: int
    problem: str | None
    created_at: str
    finished_at: str | None


class RequeryBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Which eSIMs to refresh, by the filters of the list; by default all. With `dryRun` they are only counted."""

    status: EsimStatus | None = None
    iccid: SearchText | None = None
    transaction_id: SearchText | None = None
    order_no: SearchText | None = None
    dry_run: bool = False


ALL_ESIMS = RequeryBody()


class MatchedView(Struct, rename="camel"):
    """How many eSIMs would be refreshed: those that match and that a provider has allocated."""

    matched: int


class BulkRequeryView(Struct, rename="camel", kw_only=True):
    """A requery.

    `matched` were counted at its start, `done` were queried, `changed` had changes, `failed` got no answer; `problem`
    says why the last one failed, or what it is waiting for. `finishedAt` is null while it runs.
    """

    id: str
    status: EsimStatus | None
    iccid: str | None
    transaction_id: str | None
    order_no: str | None
    matched: int
    done: int
    changed: int
    failed: int
    problem: str | None
    created_at: str
    finished_at: str | None


routes = Routes(BY_KEY)


@routes.post(
    "/v1/endpoints/{endpoint_id}/recover",
    example={"from": "2026-01-01T00:00:00Z", "statuses": ["failed", "never"], "dryRun": True},
    status={CountView: 200, RecoveryView: 202},
)
async def recover(
    db: Session, actor: Actor, now: datetime, tenant: Tenant, endpoint_id: EndpointId, data: RecoverBody
) -> CountView | RecoveryView:
    """Send an endpoint everything it missed, in the background; or only count it."""
    missed = MissedEvents(
        start=in_utc(data.start, "/from"),
        end=now if data.end is None else in_utc(data.end, "/to"),
        statuses=tuple(dict.fromkeys(data.statuses)),
    )
    if missed.start >= missed.end:
        raise Refused.invalid("/from", "expected a time before that of to, which is now by default")
    if data.dry_run:
        counted = await manage_jobs.count_missed(db, tenant, endpoint_id, missed)
        by_status = {status: counted.by_status.get(status, 0) for status in Missed}
        return CountView(counted.of(missed.statuses), by_status)
    return _recovery(await manage_jobs.begin_recovery(db, actor, tenant, endpoint_id, missed, now=now))


@routes.get("/v1/endpoints/{endpoint_id}/recoveries/{recovery_id}")
async def show_recovery(db: Session, tenant: Tenant, endpoint_id: EndpointId, recovery_id: RecoveryId) -> RecoveryView:
    """Show the progress of a recovery."""
    return _recovery(await manage_jobs.find_job(db, tenant, RecoveryFilter, recovery_id, endpoint_id=endpoint_id))


@routes.post("/v1/endpoints/{endpoint_id}/recoveries/{recovery_id}/cancel", status=200)
async def cancel_recovery(
    db: Session, actor: Actor, now: datetime, tenant: Tenant, endpoint_id: EndpointId, recovery_id: RecoveryId
) -> RecoveryView:
    """Cancel a recovery; what it has already queued is still sent."""
    job = await manage_jobs.find_job(db, tenant, RecoveryFilter, recovery_id, endpoint_id=endpoint_id)
    return _recovery(await manage_jobs.cancel_job(db, actor, job, now=now))


@routes.post(
    "/v1/esims/requery", example={"status": "IN_USE", "dryRun": True}, status={MatchedView: 200, BulkRequeryView: 202}
)
async def requery_many(
    db: Session, actor: Actor, now: datetime, tenant: Tenant, data: RequeryBody = ALL_ESIMS
) -> MatchedView | BulkRequeryView:
    """Refresh matching eSIMs from their providers, in the background; or only count them."""
    where = EsimFilter(status=data.status, iccid=data.iccid, transaction_id=data.transaction_id, order_no=data.order_no)
    if data.dry_run:
        return MatchedView(await manage_jobs.count_esims(db, tenant, where))
    return _requery(await manage_jobs.begin_requery(db, actor, tenant, where, now=now))


@routes.get("/v1/requeries")
async def list_requeries(
    db: Session, tenant: Tenant, limit: Limit = 25, cursor: Cursor = None
) -> Listed[BulkRequeryView]:
    """List requeries of many eSIMs."""
    rows = await jobs.page(db, tenant, RequeryFilter, **window(limit, cursor))
    return listed(rows, limit, _requery, lambda job: job.id)


@routes.get("/v1/requeries/{requery_id}")
async def show_requery(db: Session, tenant: Tenant, requery_id: RequeryId) -> BulkRequeryView:
    """Show the progress of a requery."""
    return _requery(await manage_jobs.find_job(db, tenant, RequeryFilter, requery_id))


@routes.post("/v1/requeries/{requery_id}/cancel", status=200)
async def cancel_requery(
    db: Session, actor: Actor, now: datetime, tenant: Tenant, requery_id: RequeryId
) -> BulkRequeryView:
    """Cancel a requery; eSIMs that were already refreshed stay refreshed."""
    job = await manage_jobs.find_job(db, tenant, RequeryFilter, requery_id)
    return _requery(await manage_jobs.cancel_job(db, actor, job, now=now))


def _recovery(job: Job[RecoveryFilter]) -> RecoveryView:
    return view_of(
        RecoveryView,
        job,
        id=Prefix.RECOVERY,
        endpoint=Prefix.ENDPOINT,
        start=timestamp(made_at(job.filter.first_event)),
        end=timestamp(made_at(job.filter.last_event)),
        statuses=list(job.filter.statuses),
        seen=job.done,
        sent=job.changed,
    )


def _requery(job: Job[RequeryFilter]) -> BulkRequeryView:
    return view_of(BulkRequeryView, job, id=Prefix.REQUERY, matched=job.total, **asdict(job.filter.where))
