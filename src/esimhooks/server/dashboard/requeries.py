"""Requeries of many eSIMs: those that fit are counted, then read anew from their providers, and watched."""

from collections.abc import Mapping

from esimhooks.server.api.context import Context
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import asked
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import form_of, visitor_of
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.job import RequeryFilter
from esimhooks.server.manage.queries import Window
from esimhooks.vocabulary.statuses import EsimStatus

LATEST = 5


routes = Routes(BY_SESSION)


@routes.get("/requeries")
async def ask_requery(request: Request, context: Context) -> Response:
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


@routes.post("/requeries")
async def begin_requery(request: Request, context: Context) -> Response:
    """Begin to read the eSIMs that fit, and show how far it is."""
    visitor = visitor_of(request)
    begun = await context.jobs.begin_requery(asked.tenant_of_page(visitor), _where(await form_of(request)))
    return redirect(visitor.link(f"/requeries/{text_of(Prefix.REQUERY, begun.id)}"))


@routes.get("/requeries/{requery_id}")
async def show_requery(request: Request, context: Context, requery_id: str) -> Response:
    """Show how far a requery is; asked for by the page itself, only the part that changes."""
    visitor = visitor_of(request)
    job = await context.jobs.find(asked.tenant_of_page(visitor), RequeryFilter, parse_id(Prefix.REQUERY, requery_id))
    template = "requery_progress.html" if "x-live" in request.headers else "requery.html"
    return page(template, visitor, {"title": "Requery", "job": job})


@routes.post("/requeries/{requery_id}/cancel")
async def cancel_requery(request: Request, context: Context, requery_id: str) -> Response:
    """End a requery where it is; what it has read stays."""
    visitor = visitor_of(request)
    await context.jobs.cancel_requery(asked.tenant_of_page(visitor), parse_id(Prefix.REQUERY, requery_id))
    return redirect(visitor.link(f"/requeries/{requery_id}"))


def _where(given: Mapping[str, str]) -> EsimFilter:
    """Return what is asked for. A status that is not known is as if not asked, as in the list of eSIMs."""
    status = given.get("status", "")
    return EsimFilter(
        status=EsimStatus(status) if status in set(EsimStatus) else None,
        iccid=given.get("iccid") or None,
        transaction_id=given.get("transaction") or None,
        order_no=given.get("order") or None,
    )
