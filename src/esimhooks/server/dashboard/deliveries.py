"""Deliveries: the list with its filters, and one with every attempt, what went wrong and what to do."""

from datetime import datetime
from urllib.parse import parse_qsl
from uuid import UUID

from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import asked, sent
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import form_of, visitor_of
from esimhooks.server.domain.advice import advise
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.delivery import DeliveryFilter, DeliveryStatus, OutcomeClass
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused, Undecryptable
from esimhooks.server.domain.figures import RETRYING
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.lists import Unreadable, Window, found
from esimhooks.server.manage import deliveries as manage_deliveries
from esimhooks.server.manage import find as manage_find
from esimhooks.server.store import deliveries, endpoints, events
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType

MAX_NAMED = 100
STATUSES = [DeliveryStatus.PENDING.value, RETRYING, *(one.value for one in list(DeliveryStatus)[1:])]
FILTERS = ("status", "type", "endpoint", "esim", "code", "outcome", "failed", "from", "to", "cursor")


routes = Routes(BY_SESSION)


@routes.get("/deliveries")
async def list_deliveries(request: Request, db: Session, now: datetime) -> Response:
    """List deliveries."""
    visitor = visitor_of(request)
    if choice := await asked.choose_account(request, db, visitor):
        return choice
    tenant, period = asked.tenant_of_page(visitor), asked.period(request)
    status = asked.one_of(request, "status", STATUSES)
    failed = asked.one_of(request, "failed", ("yes",))
    where = DeliveryFilter(
        endpoint_id=asked.row_id(request, "endpoint", Prefix.ENDPOINT),
        esim_id=asked.row_id(request, "esim", Prefix.ESIM),
        event_type=asked.word(request, "type", EventType),
        status=DeliveryStatus.PENDING if status == RETRYING else DeliveryStatus(status) if status else None,
        status_code=asked.number(request, "code", least=100, most=999),
        outcome=asked.word(request, "outcome", OutcomeClass),
        failed=True if failed or status == RETRYING else None,
        first_id=period.first_id,
        last_id=period.last_id,
    )
    looked = await manage_find.find_deliveries(db, tenant, where, asked.window(request))
    named = {name: asked.text(request, name) for name in ("endpoint", "esim", "code")}
    listed = asked.shown(request, looked.rows, [row.id for row in looked.rows], reached=looked.reached)
    values = {
        "title": "Deliveries",
        "list": listed,
        "filters": named
        | {"type": where.event_type, "status": status, "outcome": where.outcome, "failed": failed}
        | period.fields,
        "types": list(EventType),
        "statuses": STATUSES,
        "outcomes": list(OutcomeClass),
        "endpoints": await _names(db, tenant, where.endpoint_id),
        "names": await endpoints.names_of(db, tenant, {row.endpoint_id for row in looked.rows}),
        "sent": asked.number(request, "sent", least=0, most=100),
        "now": now,
    }
    return page("deliveries.html", visitor, values)


@routes.post("/deliveries/retry")
async def retry_all(request: Request, db: Session, actor: Actor) -> Response:
    """Send the chosen deliveries again, and show the list from which they were chosen."""
    visitor = visitor_of(request)
    form = await form_of(request)
    ids = [parse_id(Prefix.DELIVERY, one) for one in form.get("delivery", "").split(",") if one]
    sent, _ = await manage_deliveries.send_all_again(db, actor, asked.tenant_of_page(visitor), ids[:MAX_NAMED])
    back = dict(parse_qsl(form.get("back", "")))
    filters = {name: value for name, value in back.items() if name in FILTERS}
    return redirect(visitor.link("/deliveries", **filters, sent=len(sent)))


@routes.get("/deliveries/{delivery_id}")
async def show_delivery(
    request: Request, db: Session, now: datetime, installation: Installation, delivery_id: str
) -> Response:
    """Show a delivery with its attempts."""
    visitor = visitor_of(request)
    tenant = asked.tenant_of_page(visitor)
    async with db.snapshot():
        delivery = found(await deliveries.find(db, tenant, parse_id(Prefix.DELIVERY, delivery_id)), "delivery")
        attempts = await deliveries.attempts_of(db, tenant, delivery.id)
    try:
        stored = (found(await events.find(db, tenant, delivery.event_id), "event")).body
    except Undecryptable:
        stored = None
    try:
        endpoint = found(await endpoints.find(db, tenant, delivery.endpoint_id), "endpoint")
    except Refused:  # deleted since
        endpoint = None
    timeout_ms = endpoint.timeout_s * 1000 if endpoint else 0
    scale_ms = max(1, timeout_ms, *(one.duration_ms for one in attempts))
    headers = [sent.headers_of(delivery, one, endpoint, brand=installation.brand) for one in attempts]
    told = [
        {
            "attempt": one,
            "advice": advise(one.outcome, status_code=one.status_code, error=one.error),
            "headers": its_headers,
            "share": one.duration_ms / scale_ms * 100,
        }
        for one, its_headers in reversed(list(zip(attempts, headers, strict=True)))
    ]
    body = None if stored is None else sent.body_of(stored, endpoint)
    values = {
        "title": f"Delivery of {delivery.event_type.value}",
        "delivery": delivery,
        "endpoint": endpoint,
        "attempts": told,
        "scale_ms": scale_ms,
        "timed_out_at": scale_ms == timeout_ms,
        "signatures": sent.signatures_of(endpoint, brand=installation.brand),
        "body": body,
        "curl": sent.curl(endpoint.url, headers[-1], body) if endpoint and headers and body is not None else None,
        "now": now,
    }
    return page("delivery_parts.html" if "x-live" in request.headers else "delivery.html", visitor, values)


@routes.post("/deliveries/{delivery_id}/retry")
async def retry(request: Request, db: Session, actor: Actor, delivery_id: str) -> Response:
    """Send the delivery again, at once where it waits for its next attempt."""
    visitor = visitor_of(request)
    await manage_deliveries.send_again(db, actor, asked.tenant_of_page(visitor), parse_id(Prefix.DELIVERY, delivery_id))
    return redirect(visitor.link(f"/deliveries/{delivery_id}"))


async def _names(db: Session, tenant: Tenant, chosen: UUID | None) -> dict[str, str]:
    """Return what endpoints are called, by id; the newest, and the one that is chosen, also where it is deleted."""
    rows = await endpoints.page(db, tenant, **Window(before=None, limit=MAX_NAMED))
    names = {
        text_of(Prefix.ENDPOINT, row.id): row.name if isinstance(row, Unreadable) else row.name or row.url
        for row in rows
    }
    return names if chosen is None else {text_of(Prefix.ENDPOINT, chosen): "the chosen one"} | names
