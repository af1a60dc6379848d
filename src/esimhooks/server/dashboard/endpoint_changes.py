"""An endpoint that stands is changed: edited, switched on and off, sent an example. The same rules as the API's."""

from collections.abc import Mapping
from datetime import datetime

from esimhooks.server.api.endpoints import EndpointPatch, wanted
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import asked
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import form_of, visitor_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import CONFIG, Ordering
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.validation import convert
from esimhooks.server.manage import endpoints as manage_endpoints
from esimhooks.server.manage.endpoints import EndpointRules
from esimhooks.server.manage.lists import found
from esimhooks.server.store import endpoints
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_at

routes = Routes(BY_SESSION)


@routes.get("/endpoints/{endpoint_id}/edit")
async def ask_changes(request: Request, db: Session, endpoint_id: str) -> Response:
    """Show the form with what stands."""
    visitor = visitor_of(request)
    tenant = asked.tenant_of_page(visitor)
    endpoint = found(await endpoints.find(db, tenant, parse_id(Prefix.ENDPOINT, endpoint_id)), "endpoint")
    values = {"title": "Edit", "endpoint": endpoint, "types": list(EventType), "orderings": list(Ordering)}
    return page("endpoint_edit.html", visitor, values)


@routes.post("/endpoints/{endpoint_id}/edit")
async def change(request: Request, db: Session, actor: Actor, rules: EndpointRules, endpoint_id: str) -> Response:
    """Store what the form says."""
    visitor = visitor_of(request)
    change = wanted(convert(form_values(await form_of(request)), EndpointPatch, strict=False))
    await manage_endpoints.change_endpoint(
        db, actor, asked.tenant_of_page(visitor), parse_id(Prefix.ENDPOINT, endpoint_id), change, rules
    )
    return redirect(visitor.link(f"/endpoints/{endpoint_id}"))


@routes.post("/endpoints/{endpoint_id}/enable")
async def enable(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Switch the endpoint on; what waits for it goes out."""
    visitor = visitor_of(request)
    await manage_endpoints.switch_endpoint(
        db, actor, asked.tenant_of_page(visitor), parse_id(Prefix.ENDPOINT, endpoint_id), enabled=True, now=now
    )
    return redirect(visitor.link(f"/endpoints/{endpoint_id}"))


@routes.post("/endpoints/{endpoint_id}/disable")
async def disable(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Switch the endpoint off; what waits for it stays."""
    visitor = visitor_of(request)
    await manage_endpoints.switch_endpoint(
        db, actor, asked.tenant_of_page(visitor), parse_id(Prefix.ENDPOINT, endpoint_id), enabled=False, now=now
    )
    return redirect(visitor.link(f"/endpoints/{endpoint_id}"))


@routes.post("/endpoints/{endpoint_id}/test")
async def send_example(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Send the endpoint an event's example and show its delivery."""
    visitor = visitor_of(request)
    kind = (await form_of(request)).get("event", "")
    if kind not in set(EventType):
        raise Refused.invalid("/event", "expected the type of an event")
    which = parse_id(Prefix.ENDPOINT, endpoint_id)
    tenant = asked.tenant_of_page(visitor)
    _, delivery = await manage_endpoints.send_example(
        db, actor, tenant, which, example_at(EventType(kind), now), now=now
    )
    return redirect(visitor.link(f"/deliveries/{text_of(Prefix.DELIVERY, delivery.id)}"))


LISTS = {"eventTypes": "types", "retrySchedule": "schedule"}
"""Members that are lists, and the fields of the form that hold them, with commas in between."""


def form_values(form: Mapping[str, str]) -> dict[str, object]:
    """Return the members of a configuration that the form has; an empty field is null: back to the default."""
    names = {one.encode_name: LISTS.get(one.encode_name, one.encode_name) for one in CONFIG}
    texts = {name: form.get(shown, "").strip() for name, shown in names.items() if shown in form or name in LISTS}
    return {name: _listed(text) if name in LISTS else text or None for name, text in texts.items()}


def _listed(text: str) -> list[str] | None:
    return [one.strip() for one in text.split(",") if one.strip()] or None
