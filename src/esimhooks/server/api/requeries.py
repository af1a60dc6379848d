"""Requeries of many eSIMs: `POST /v1/esims/requery` begins one, `/v1/requeries` says how far they are."""

from typing import Annotated

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from esimhooks.server.api.given import InContext, OfTenant
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
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


@post("/v1/esims/requery", status_code=202)
async def requery_many(
    context: InContext, tenant: OfTenant, data: JSONBody[RequeryBody] = ALL_ESIMS
) -> Response[MatchedView | BulkRequeryView]:
    """Read the eSIMs that fit anew from their providers, in the background; or count them."""
    where = EsimFilter(status=data.status, iccid=data.iccid, transaction_id=data.transaction_id, order_no=data.order_no)
    if data.dry_run:
        return Response(MatchedView(await context.jobs.count_esims(tenant, where)), status_code=200)
    return Response(_view(await context.jobs.begin_requery(tenant, where)), status_code=202)


@get("/")
async def list_requeries(
    context: InContext, tenant: OfTenant, limit: Limit = 25, cursor: Cursor = None
) -> Listed[BulkRequeryView]:
    """List requeries of many eSIMs."""
    rows = await context.jobs.page(tenant, RequeryFilter, window(limit, cursor))
    return listed(rows, limit, _view, lambda job: job.id)


@get("/{requery_id:str}")
async def show_requery(context: InContext, tenant: OfTenant, requery_id: FromPath[str]) -> BulkRequeryView:
    """Show how far a requery is."""
    return _view(await context.jobs.find(tenant, RequeryFilter, parse_id(Prefix.REQUERY, requery_id)))


@post("/{requery_id:str}/cancel", status_code=200)
async def cancel_requery(context: InContext, tenant: OfTenant, requery_id: FromPath[str]) -> BulkRequeryView:
    """End a requery where it is; what it has read stays."""
    return _view(await context.jobs.cancel_requery(tenant, parse_id(Prefix.REQUERY, requery_id)))


router = Router("/v1/requeries", route_handlers=[list_requeries, show_requery, cancel_requery])


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
