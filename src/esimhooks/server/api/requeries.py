"""Requeries of many eSIMs: `POST /v1/esims/requery` begins one, `/v1/requeries` says how far they are."""

from typing import Annotated

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.context import Context
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.job import Job, RequeryFilter
from esimhooks.server.domain.patterns import PRINTABLE
from esimhooks.vocabulary.statuses import EsimStatus
from esimhooks.vocabulary.timestamps import timestamp, timestamp_or_none

Sought = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]


class RequeryBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Which eSIMs to read anew, as the list of eSIMs is narrowed; with nothing told, all. With `dryRun` only counted."""

    status: EsimStatus | None = None
    iccid: Sought | None = None
    transaction_id: Sought | None = None
    order_no: Sought | None = None
    dry_run: bool = False


ALL_ESIMS = RequeryBody()


class MatchedView(Struct, rename="camel"):
    """How many eSIMs would be read: those that fit and that a provider has allocated."""

    matched: int


class BulkRequeryView(Struct, rename="camel", kw_only=True):
    """A requery: `matched` eSIMs when it began, `done` of them, of which `changed` had something new, `failed` no answer.

    `problem` says why the last of those failed, or what is waited for; `finishedAt` is null while it goes on.
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
    "/v1/esims/requery", example={"status": "IN_USE", "dryRun": True}, status={MatchedView: 200, BulkRequeryView: 202}
)
async def requery_many(
    context: Context, tenant: Tenant, data: RequeryBody = ALL_ESIMS
) -> MatchedView | BulkRequeryView:
    """Read the eSIMs that fit anew from their providers, in the background; or count them."""
    where = EsimFilter(status=data.status, iccid=data.iccid, transaction_id=data.transaction_id, order_no=data.order_no)
    if data.dry_run:
        return MatchedView(await context.jobs.count_esims(tenant, where))
    return _view(await context.jobs.begin_requery(tenant, where))


@routes.get("/v1/requeries")
async def list_requeries(
    context: Context, tenant: Tenant, limit: Limit = 25, cursor: Cursor = None
) -> Listed[BulkRequeryView]:
    """List requeries of many eSIMs."""
    rows = await context.jobs.page(tenant, RequeryFilter, window(limit, cursor))
    return listed(rows, limit, _view, lambda job: job.id)


@routes.get("/v1/requeries/{requery_id}")
async def show_requery(context: Context, tenant: Tenant, requery_id: str) -> BulkRequeryView:
    """Show how far a requery is."""
    return _view(await context.jobs.find(tenant, RequeryFilter, parse_id(Prefix.REQUERY, requery_id)))


@routes.post("/v1/requeries/{requery_id}/cancel", status=200)
async def cancel_requery(context: Context, tenant: Tenant, requery_id: str) -> BulkRequeryView:
    """End a requery where it is; what it has read stays."""
    return _view(await context.jobs.cancel_requery(tenant, parse_id(Prefix.REQUERY, requery_id)))


def _view(job: Job[RequeryFilter]) -> BulkRequeryView:
    return BulkRequeryView(
        id=text_of(Prefix.REQUERY, job.id),
        status=job.filter.where.status,
        iccid=job.filter.where.iccid,
        transaction_id=job.filter.where.transaction_id,
        order_no=job.filter.where.order_no,
        matched=job.total,
        done=job.done,
        changed=job.changed,
        failed=job.failed,
        problem=job.problem,
        created_at=timestamp(job.created_at),
        finished_at=timestamp_or_none(job.finished_at),
    )
