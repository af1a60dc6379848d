"""Requeries of many eSIMs: those that fit are counted, then read anew from their providers, and watched."""

from collections.abc import Mapping

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from esimhooks.server.api.auth import AnyRequest
from esimhooks.server.api.given import InContext
from esimhooks.server.dashboard import asked
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import form_of, visitor_of
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.job import RequeryFilter
from esimhooks.server.manage.queries import Window
from esimhooks.vocabulary.statuses import EsimStatus

LATEST = 5


@get("/requeries")
async def ask_requery(request: AnyRequest, context: InContext) -> Response[str]:
    """Show how many eSIMs fit, and what was asked for before."""
    visitor = visitor_of(request)
    if choice := await asked.choose_account(context, visitor, "/requeries"):
        return choice
    tenant = asked.tenant_of_page(visitor)
    filters = {name: asked.text(request, name) or "" for name in ("status", "iccid", "transaction", "order")}
    where = _where(filters)
    values = {
        "title": "Read anew",
        "filters": filters,
        "status": where.status,
        "statuses": list(EsimStatus),
        "matched": await context.jobs.count_esims(tenant, where),
        "latest": await context.jobs.page(tenant, RequeryFilter, Window(None, LATEST)),
        "now": context.clock(),
    }
    return page("requeries.html", visitor, values)


@post("/requeries")
async def begin_requery(request: AnyRequest, context: InContext) -> Response[str]:
    """Begin to read the eSIMs that fit, and show how far it is."""
    visitor = visitor_of(request)
    begun = await context.jobs.begin_requery(asked.tenant_of_page(visitor), _where(await form_of(request)))
    return Redirect(visitor.link(f"/requeries/{text_of(Prefix.REQUERY, begun.id)}"), status_code=303)


@get("/requeries/{requery_id:str}")
async def show_requery(request: AnyRequest, context: InContext, requery_id: FromPath[str]) -> Response[str]:
    """Show how far a requery is; asked for by the page itself, only the part that changes."""
    visitor = visitor_of(request)
    job = await context.jobs.find(asked.tenant_of_page(visitor), RequeryFilter, parse_id(Prefix.REQUERY, requery_id))
    template = "requery_progress.html" if "x-live" in request.headers else "requery.html"
    return page(template, visitor, {"title": "Requery", "job": job})


@post("/requeries/{requery_id:str}/cancel")
async def cancel_requery(request: AnyRequest, context: InContext, requery_id: FromPath[str]) -> Response[str]:
    """End a requery where it is; what it has read stays."""
    visitor = visitor_of(request)
    await context.jobs.cancel_requery(asked.tenant_of_page(visitor), parse_id(Prefix.REQUERY, requery_id))
    return Redirect(visitor.link(f"/requeries/{requery_id}"), status_code=303)


def _where(given: Mapping[str, str]) -> EsimFilter:
    """Return what is asked for. A status that is not known is as if not asked, as in the list of eSIMs."""
    status = given.get("status", "")
    return EsimFilter(
        status=EsimStatus(status) if status in set(EsimStatus) else None,
        iccid=given.get("iccid") or None,
        transaction_id=given.get("transaction") or None,
        order_no=given.get("order") or None,
    )
