"""Endpoints: the list, a new one with its secret shown once, and one with the code that verifies its webhooks."""

from datetime import timedelta

import msgspec

from esimhooks.server.api.bodies import Name, Url
from esimhooks.server.api.context import Context
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import asked
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.charts import by_status, series_of
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import form_of, visitor_of
from esimhooks.server.domain.delivery import DeliveryFilter
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.schedule import NAMED
from esimhooks.server.manage.admin import NewEndpoint
from esimhooks.server.manage.queries import Window
from esimhooks.vocabulary.events import EventType

LATEST = 10
HEALTH = timedelta(hours=24)


routes = Routes(BY_SESSION)


@routes.get("/endpoints")
async def list_endpoints(request: Request, context: Context) -> Response:
    """List endpoints."""
    visitor = visitor_of(request)
    if choice := await asked.choose_account(context, visitor, "/endpoints"):
        return choice
    rows = await context.tenant.endpoints(asked.tenant_of_page(visitor), asked.window(request))
    listed = asked.shown(rows, [row.id for row in rows])
    return page("endpoints.html", visitor, {"title": "Endpoints", "list": listed, "now": context.clock()})


@routes.get("/endpoints/new")
async def new_endpoint(request: Request) -> Response:
    """Show the form of a new endpoint."""
    visitor = visitor_of(request)
    asked.tenant_of_page(visitor)
    return page("endpoint_new.html", visitor, {"title": "New endpoint", "types": list(EventType), "schedules": NAMED})


@routes.post("/endpoints")
async def create_endpoint(request: Request, context: Context) -> Response:
    """Make an endpoint; its secret is shown this once."""
    visitor = visitor_of(request)
    form = await form_of(request)
    kinds = tuple(one for one in form.get("types", "").split(",") if one)
    if unknown := set(kinds) - set(EventType):
        raise Refused.invalid("/types", f"expected types of events, not {min(unknown)[:40]}")
    new = NewEndpoint(
        url=_fit(form.get("url", "").strip(), Url, "/url", "an address such as https://shop.example/hooks"),
        name=_fit(form["name"], Name, "/name", "1 to 100 characters") if form.get("name") else None,
        event_types=kinds or None,
        retry_schedule=NAMED.get(form.get("schedule", "")),
    )
    made = await context.admin.create_endpoint(asked.tenant_of_page(visitor), new)
    values = {"title": "Endpoint made", "endpoint": made.endpoint, "secret": made.secret}
    return page("endpoint_made.html", visitor, values, status=201)


@routes.get("/endpoints/{endpoint_id}")
async def show_endpoint(request: Request, context: Context, endpoint_id: str) -> Response:
    """Show an endpoint with its latest deliveries."""
    visitor = visitor_of(request)
    tenant = asked.tenant_of_page(visitor)
    endpoint = await context.tenant.endpoint(tenant, parse_id(Prefix.ENDPOINT, endpoint_id))
    latest = await context.tenant.deliveries(tenant, DeliveryFilter(endpoint_id=endpoint.id), Window(None, LATEST))
    stats = await context.tenant.endpoint_stats(tenant, endpoint.id, since=context.clock() - HEALTH)
    edges, tallies = await context.overview.endpoint_over_time(tenant, endpoint.id, span=HEALTH)
    lines = by_status(edges, tallies)
    values = {
        "title": "Endpoint",
        "endpoint": endpoint,
        "stats": stats,
        "series": series_of(edges, list(lines.values())),
        "labels": list(lines),
        "types": list(EventType),
        "deliveries": latest,
        "now": context.clock(),
    }
    return page("endpoint.html", visitor, values)


@routes.post("/endpoints/{endpoint_id}/delete")
async def delete_endpoint(request: Request, context: Context, endpoint_id: str) -> Response:
    """Delete an endpoint; what waits for it is cancelled."""
    visitor = visitor_of(request)
    await context.admin.delete_endpoint(asked.tenant_of_page(visitor), parse_id(Prefix.ENDPOINT, endpoint_id))
    return redirect(visitor.link("/endpoints"))


def _fit(value: str, kind: object, pointer: str, expected: str) -> str:
    try:
        return msgspec.convert(value, kind)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        raise Refused.invalid(pointer, f"expected {expected}") from None
