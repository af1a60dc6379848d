"""Endpoints: the list, a new one with its secret shown once, and one with the code that verifies its webhooks."""

from datetime import datetime, timedelta

from esimhooks.server.api.endpoints import EndpointBody, wanted
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import asked
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.charts import by_status, series_of
from esimhooks.server.dashboard.endpoint_changes import form_values
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import form_of, visitor_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.delivery import DeliveryFilter
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.schedule import NAMED
from esimhooks.server.domain.validation import convert
from esimhooks.server.manage import endpoints as manage_endpoints
from esimhooks.server.manage import overview as manage_overview
from esimhooks.server.manage.endpoints import EndpointRules
from esimhooks.server.manage.lists import Window, found
from esimhooks.server.store import deliveries, endpoints, figures
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType

LATEST = 10
HEALTH = timedelta(hours=24)


routes = Routes(BY_SESSION)


@routes.get("/endpoints")
async def list_endpoints(request: Request, db: Session, now: datetime) -> Response:
    """List endpoints."""
    visitor = visitor_of(request)
    if choice := await asked.choose_account(db, visitor, "/endpoints"):
        return choice
    rows = await endpoints.page(db, asked.tenant_of_page(visitor), **asked.window(request))
    listed = asked.shown(rows, [row.id for row in rows])
    return page("endpoints.html", visitor, {"title": "Endpoints", "list": listed, "now": now})


@routes.get("/endpoints/new")
async def new_endpoint(request: Request) -> Response:
    """Show the form of a new endpoint."""
    visitor = visitor_of(request)
    asked.tenant_of_page(visitor)
    return page("endpoint_new.html", visitor, {"title": "New endpoint", "types": list(EventType), "schedules": NAMED})


@routes.post("/endpoints")
async def create_endpoint(request: Request, db: Session, actor: Actor, rules: EndpointRules) -> Response:
    """Make an endpoint; its secret is shown this once."""
    visitor = visitor_of(request)
    form = await form_of(request)
    told = {name: value for name, value in form_values(form).items() if name != "retrySchedule"}
    schedule = {"retrySchedule": form["schedule"]} if form.get("schedule") else {}
    change = wanted(convert(told | schedule, EndpointBody, strict=False))
    made = await manage_endpoints.create_endpoint(db, actor, asked.tenant_of_page(visitor), change, rules)
    values = {"title": "Endpoint made", "endpoint": made.endpoint, "secret": made.secret}
    return page("endpoint_made.html", visitor, values, status=201)


@routes.get("/endpoints/{endpoint_id}")
async def show_endpoint(request: Request, db: Session, now: datetime, endpoint_id: str) -> Response:
    """Show an endpoint with its latest deliveries."""
    visitor = visitor_of(request)
    tenant = asked.tenant_of_page(visitor)
    endpoint = found(await endpoints.find(db, tenant, parse_id(Prefix.ENDPOINT, endpoint_id)), "endpoint")
    latest = (
        await deliveries.page(db, tenant, DeliveryFilter(endpoint_id=endpoint.id), **Window(before=None, limit=LATEST))
    ).rows
    stats = found(await figures.stats_of(db, tenant, endpoint.id, since=now - HEALTH), "endpoint")
    edges, tallies = await manage_overview.endpoint_over_time(db, tenant, endpoint.id, span=HEALTH, now=now)
    lines = by_status(edges, tallies)
    values = {
        "title": "Endpoint",
        "endpoint": endpoint,
        "stats": stats,
        "series": series_of(edges, list(lines.values())),
        "labels": list(lines),
        "types": list(EventType),
        "deliveries": latest,
        "now": now,
    }
    return page("endpoint.html", visitor, values)


@routes.post("/endpoints/{endpoint_id}/delete")
async def delete_endpoint(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Delete an endpoint; what waits for it is cancelled."""
    visitor = visitor_of(request)
    await manage_endpoints.delete_endpoint(
        db, actor, asked.tenant_of_page(visitor), parse_id(Prefix.ENDPOINT, endpoint_id), now=now
    )
    return redirect(visitor.link("/endpoints"))
