"""Endpoints: the list, one with how it does, its secrets, and all that can be done to it.

Of secrets, what is shown is what the API shows: a private key never leaves the server.
"""

from datetime import datetime, timedelta
from uuid import UUID

from esimhooks.server.api.endpoint_secrets import secrets_view
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import query_params
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.charts import by_status, series_of
from esimhooks.server.dashboard.render import live_page, page
from esimhooks.server.dashboard.session_user import form_of, require_manager, session_user_of, tenant_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.delivery import DeliveryFilter
from esimhooks.server.domain.endpoint import SignatureProfile, Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.health import health_of
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.lists import Window, found
from esimhooks.server.manage import deliveries as manage_deliveries
from esimhooks.server.manage import endpoints as manage_endpoints
from esimhooks.server.manage import overview as manage_overview
from esimhooks.server.store import accounts, deliveries, endpoints, stats
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_at

LATEST = 10
SPAN = timedelta(hours=24)
OVERLAPS = {"one day": 86_400, "one hour": 3600, "not at all: it has leaked": 0}
"""For how many seconds the old secret may go on signing."""


routes = Routes(BY_SESSION)


@routes.get("/endpoints")
async def list_endpoints(request: Request, db: Session, now: datetime) -> Response:
    """List endpoints with how they do."""
    user = session_user_of(request)
    if choice := await query_params.choose_account(request, db, user):
        return choice
    tenant = tenant_of(user)
    rows = await endpoints.page(db, tenant, **query_params.window(request))
    values = {
        "title": "Endpoints",
        "list": query_params.list_part(request, rows, [row.id for row in rows]),
        "health": await manage_endpoints.health_of_each(db, tenant, [row.id for row in rows], now=now),
        "number": (await accounts.quota_usage(db, tenant.account_id)).endpoints,
        "quota": found(await accounts.find(db, tenant.account_id), "account").quotas.endpoints,
        "now": now,
    }
    return page("endpoints.html", user, values)


@routes.get("/endpoints/{endpoint_id}")
async def show_endpoint(request: Request, db: Session, now: datetime, endpoint_id: str) -> Response:
    """Show an endpoint with how it does and its latest deliveries; a refresh gets the parts that change."""
    user = session_user_of(request)
    tenant = tenant_of(user)
    endpoint = found(await endpoints.find(db, tenant, parse_id(Prefix.ENDPOINT, endpoint_id)), "endpoint")
    window = Window(before=None, limit=LATEST)
    latest = (await deliveries.page(db, tenant, DeliveryFilter(endpoint_id=endpoint.id), **window)).rows
    endpoint_stats = found(await stats.stats_of(db, tenant, endpoint.id, since=now - SPAN), "endpoint")
    edges, counts = await manage_overview.endpoint_over_time(db, tenant, endpoint.id, span=SPAN, now=now)
    lines = by_status(edges, counts)
    values = {
        "title": endpoint.name or endpoint.url,
        "endpoint": endpoint,
        "health": health_of(endpoint_stats.lane, now=now),
        "stats": endpoint_stats,
        "totals": {status: sum(numbers) for status, numbers in lines.items()},
        "series": series_of(edges, list(lines.values())),
        "labels": list(lines),
        "types": list(EventType),
        "deliveries": latest,
        "now": now,
    }
    return live_page(request, "endpoint", user, values)


@routes.post("/endpoints/{endpoint_id}/enable")
async def enable(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Switch the endpoint on; what waits for it goes out."""
    tenant, known = _tenant_and_id(request, endpoint_id)
    await manage_endpoints.switch_endpoint(db, actor, tenant, known, enabled=True, now=now)
    return await _back(request, endpoint_id)


@routes.post("/endpoints/{endpoint_id}/disable")
async def disable(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Switch the endpoint off; what waits for it stays, and new events are not queued."""
    tenant, known = _tenant_and_id(request, endpoint_id)
    await manage_endpoints.switch_endpoint(db, actor, tenant, known, enabled=False, now=now)
    return await _back(request, endpoint_id)


@routes.post("/endpoints/{endpoint_id}/pause")
async def pause(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Send nothing until the endpoint is resumed; new events are queued."""
    tenant, known = _tenant_and_id(request, endpoint_id)
    await manage_endpoints.pause_endpoint(db, actor, tenant, known, paused=True, now=now)
    return await _back(request, endpoint_id)


@routes.post("/endpoints/{endpoint_id}/resume")
async def resume(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Go on sending."""
    tenant, known = _tenant_and_id(request, endpoint_id)
    await manage_endpoints.pause_endpoint(db, actor, tenant, known, paused=False, now=now)
    return await _back(request, endpoint_id)


@routes.post("/endpoints/{endpoint_id}/send-now")
async def send_now(request: Request, db: Session, actor: Actor, endpoint_id: str) -> Response:
    """Attempt what waits for its next attempt now."""
    tenant, known = _tenant_and_id(request, endpoint_id)
    await manage_deliveries.send_waiting_now(db, actor, tenant, known)
    return await _back(request, endpoint_id)


@routes.post("/endpoints/{endpoint_id}/test")
async def send_example(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Send the endpoint an event's example and show its delivery."""
    user = session_user_of(request)
    kind = (await form_of(request)).get("event", "")
    if kind not in set(EventType):
        raise Refused.invalid("/event", "expected the type of an event")
    tenant, known = _tenant_and_id(request, endpoint_id)
    _, delivery = await manage_endpoints.send_example(
        db, actor, tenant, known, example_at(EventType(kind), now), now=now
    )
    return redirect(user.link(f"/deliveries/{text_of(Prefix.DELIVERY, delivery.id)}"))


@routes.post("/endpoints/{endpoint_id}/delete")
async def delete_endpoint(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Delete an endpoint; what waits for it is cancelled."""
    user = session_user_of(request)
    await manage_endpoints.delete_endpoint(db, actor, tenant_of(user), parse_id(Prefix.ENDPOINT, endpoint_id), now=now)
    return redirect(user.link("/endpoints"))


@routes.get("/endpoints/{endpoint_id}/secrets")
async def show_secrets(request: Request, db: Session, now: datetime, endpoint_id: str) -> Response:
    """Show the secrets that sign at present."""
    user = session_user_of(request)
    require_manager(user)
    tenant = tenant_of(user)
    endpoint = found(await endpoints.find(db, tenant, parse_id(Prefix.ENDPOINT, endpoint_id)), "endpoint")
    values = {
        "title": "Secrets",
        "endpoint": endpoint,
        "shown": secrets_view(await manage_endpoints.shown_secrets(db, tenant, endpoint.id, now=now)),
        "asymmetric": endpoint.signature_profile is SignatureProfile.ASYMMETRIC,
        "overlaps": OVERLAPS,
        "is_new": "new" in request.query,
    }
    return page("endpoint_secrets.html", user, values)


@routes.post("/endpoints/{endpoint_id}/rotate")
async def rotate(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Make a new secret."""
    user = session_user_of(request)
    overlap = OVERLAPS.get((await form_of(request)).get("overlap", ""))
    if overlap is None:
        raise Refused.invalid("/overlap", f"expected one of {', '.join(OVERLAPS)}")
    tenant, known = _tenant_and_id(request, endpoint_id)
    await manage_endpoints.rotate_secret(db, actor, tenant, known, manage_endpoints.Rotation(overlap), now=now)
    return redirect(user.link(f"/endpoints/{endpoint_id}/secrets"))


def _tenant_and_id(request: Request, endpoint_id: str) -> tuple[Tenant, UUID]:
    """Return the tenant and the id of the endpoint. Raises `Refused` (404) for what is no id of an endpoint."""
    known = parse_id(Prefix.ENDPOINT, endpoint_id)
    return tenant_of(session_user_of(request)), known


async def _back(request: Request, endpoint_id: str) -> Response:
    """Return to the page on which the button was: the overview, or the endpoint's own."""
    on_overview = (await form_of(request)).get("back") == "overview"
    user = session_user_of(request)
    if on_overview and user.operator:
        return redirect("/")
    return redirect(user.link("/" if on_overview else f"/endpoints/{endpoint_id}"))
