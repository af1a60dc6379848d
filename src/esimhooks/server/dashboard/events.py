"""Events: the list with its filters, one with its bytes and deliveries, and the catalogue of all eight."""

from datetime import datetime

from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import query_params
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import live_page, page
from esimhooks.server.dashboard.session_user import session_user_of, tenant_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.credentials import without_credentials
from esimhooks.server.domain.delivery import DeliveryFilter
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import EventFilter
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.lists import Window, found
from esimhooks.server.manage import deliveries as manage_deliveries
from esimhooks.server.manage import find as manage_find
from esimhooks.server.manage.test_events import TestEvent, raise_test_event
from esimhooks.server.store import deliveries, endpoints, events
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.schemas import schema_of
from esimhooks.vocabulary.statuses import Mode

routes = Routes(BY_SESSION)


@routes.get("/events")
async def list_events(request: Request, db: Session, now: datetime) -> Response:
    """List events."""
    user = session_user_of(request)
    if choice := await query_params.choose_account(request, db, user):
        return choice
    kind, period = query_params.member(request, "type", EventType), query_params.period(request, now)
    esim = query_params.row_id(request, "esim", Prefix.ESIM)
    where = EventFilter(type=kind, esim_id=esim, first_id=period.first_id, last_id=period.last_id)
    result = await manage_find.find_events(db, tenant_of(user), where, query_params.window(request))
    values = {
        "title": "Events",
        "list": query_params.list_part(request, result.rows, [row.id for row in result.rows], reached=result.reached),
        "filters": {"type": kind, "esim": query_params.text(request, "esim")} | period.fields,
        "types": list(EventType),
        "now": now,
    }
    return page("events.html", user, values)


@routes.get("/events/{event_id}")
async def show_event(request: Request, db: Session, now: datetime, event_id: str) -> Response:
    """Show an event with its deliveries; a refresh gets only these."""
    user = session_user_of(request)
    tenant = tenant_of(user)
    event = found(await events.find(db, tenant, parse_id(Prefix.EVENT, event_id)), "event")
    sent = (await deliveries.page(db, tenant, DeliveryFilter(event_id=event.id), **Window(before=None, limit=100))).rows
    names = await endpoints.names_of(db, tenant, {one.endpoint_id for one in sent})
    values = {
        "title": event.type.value,
        "event": event,
        "body": event.body if user.may_change else without_credentials(event.body),
        "deliveries": sent,
        "names": names,
        "now": now,
    }
    return live_page(request, "event", user, values)


@routes.post("/events/{event_id}/resend")
async def resend(request: Request, db: Session, actor: Actor, event_id: str) -> Response:
    """Send the event again to all who want it."""
    user = session_user_of(request)
    known = parse_id(Prefix.EVENT, event_id)
    await manage_deliveries.resend(db, actor, tenant_of(user), known, endpoint_id=None)
    return redirect(user.link(f"/events/{event_id}"))


@routes.get("/event-types")
async def catalogue(request: Request) -> Response:
    """Show the eight events, each with an example; its schema comes when it is opened, for it is long."""
    kinds = [{"type": kind, "meaning": MEANINGS[kind], "example": encode(example_of(kind))} for kind in EventType]
    return page("catalogue.html", session_user_of(request), {"title": "Catalogue", "kinds": kinds})


@routes.get("/event-types/{kind}/schema")
async def show_schema(request: Request, kind: str) -> Response:
    """Show the schema of one event, as a part of the catalogue."""
    return page("schema.html", session_user_of(request), {"schema": schema_of(_parse_type(kind))})


@routes.post("/event-types/{kind}/try")
async def try_event(
    request: Request, db: Session, actor: Actor, now: datetime, rules: Installation, kind: str
) -> Response:
    """Raise a test event of a test eSIM and show it."""
    user = session_user_of(request)
    tenant = tenant_of(user)
    known = _parse_type(kind)
    if tenant.mode is not Mode.TEST:
        raise Refused.forbidden("test events need test mode: sign in with a test key (esim_test_...)")
    policy = EmitPolicy(thresholds=rules.thresholds)
    event = await raise_test_event(db, actor, tenant, TestEvent(type=known), policy, now=now)
    return redirect(user.link(f"/events/{text_of(Prefix.EVENT, event.id)}"))


def _parse_type(kind: str) -> EventType:
    if kind not in set(EventType):
        raise Refused.not_found("there is no such event")
    return EventType(kind)
