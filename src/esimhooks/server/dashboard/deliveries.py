"""Deliveries: the list with its filters, and one with every attempt, what it sent, what went wrong and what to do.

An endpoint's settings are not kept with each attempt: those that stand now are shown.
"""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import parse_qsl
from uuid import UUID

from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import query_params
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import live_page, page
from esimhooks.server.dashboard.session_user import form_of, session_user_of, tenant_of
from esimhooks.server.delivery.request_headers import HeaderNames, unsigned_headers
from esimhooks.server.domain.advice import advise
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.credentials import without_credentials
from esimhooks.server.domain.delivery import Attempt, Delivery, DeliveryFilter, DeliveryStatus, OutcomeClass
from esimhooks.server.domain.endpoint import Endpoint, SignatureProfile, Tenant, without_header_values
from esimhooks.server.domain.errors import Refused, Undecryptable
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.lists import Unreadable, Window, found
from esimhooks.server.domain.roles import may_see_secrets
from esimhooks.server.domain.stats import RETRYING
from esimhooks.server.manage import deliveries as manage_deliveries
from esimhooks.server.manage import find as manage_find
from esimhooks.server.store import deliveries, endpoints, events
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType

MAX_NAMED = 100
STATUSES = [DeliveryStatus.PENDING.value, RETRYING, *(one.value for one in list(DeliveryStatus)[1:])]
FILTERS = ("status", "type", "endpoint", "esim", "code", "outcome", "failed", "last", "from", "to", "cursor")


routes = Routes(BY_SESSION)


@routes.get("/deliveries")
async def list_deliveries(request: Request, db: Session, now: datetime) -> Response:
    """List deliveries."""
    user = session_user_of(request)
    if choice := await query_params.choose_account(request, db, user):
        return choice
    tenant, period = tenant_of(user), query_params.period(request, now)
    status = query_params.one_of(request, "status", STATUSES)
    failed = query_params.one_of(request, "failed", ("yes",))
    where = DeliveryFilter(
        endpoint_id=query_params.row_id(request, "endpoint", Prefix.ENDPOINT),
        esim_id=query_params.row_id(request, "esim", Prefix.ESIM),
        event_type=query_params.member(request, "type", EventType),
        status=DeliveryStatus.PENDING if status == RETRYING else DeliveryStatus(status) if status else None,
        status_code=query_params.number(request, "code", minimum=100, maximum=999),
        outcome=query_params.member(request, "outcome", OutcomeClass),
        failed=True if failed or status == RETRYING else None,
        first_id=period.first_id,
        last_id=period.last_id,
    )
    result = await manage_find.find_deliveries(db, tenant, where, query_params.window(request))
    named = {name: query_params.text(request, name) for name in ("endpoint", "esim", "code")}
    listed = query_params.list_part(request, result.rows, [row.id for row in result.rows], reached=result.reached)
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
        "names": await endpoints.names_of(db, tenant, {row.endpoint_id for row in result.rows}),
        "counts": await deliveries.preset_counts(db, tenant),
        "sent": query_params.number(request, "sent", minimum=0, maximum=100),
        "now": now,
    }
    return page("deliveries.html", user, values)


@routes.post("/deliveries/retry")
async def retry_all(request: Request, db: Session, actor: Actor) -> Response:
    """Send the chosen deliveries again, and show the list from which they were chosen."""
    user = session_user_of(request)
    form = await form_of(request)
    ids = [parse_id(Prefix.DELIVERY, one) for one in form.get("delivery", "").split(",") if one]
    sent, _ = await manage_deliveries.send_all_again(db, actor, tenant_of(user), ids[:MAX_NAMED])
    back = dict(parse_qsl(form.get("back", "")))
    filters = {name: value for name, value in back.items() if name in FILTERS}
    return redirect(user.link("/deliveries", **filters, sent=len(sent)))


@routes.get("/deliveries/{delivery_id}")
async def show_delivery(
    request: Request, db: Session, now: datetime, installation: Installation, delivery_id: str
) -> Response:
    """Show a delivery with its attempts."""
    user = session_user_of(request)
    tenant = tenant_of(user)
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
    if endpoint is not None and not may_see_secrets(user.principal.role):
        endpoint = without_header_values(endpoint)
    headers = [_headers_of(delivery, one, endpoint, brand=installation.brand) for one in attempts]
    shown = [
        {
            "attempt": one,
            "advice": advise(one.outcome, status_code=one.status_code, error=one.error),
            "headers": its_headers,
            "share": one.duration_ms / scale_ms * 100,
        }
        for one, its_headers in reversed(list(zip(attempts, headers, strict=True)))
    ]
    is_redacted = not user.may_change or (endpoint is not None and endpoint.redact_credentials)
    body = without_credentials(stored) if stored is not None and is_redacted else stored
    values = {
        "title": delivery.event_type.value,
        "delivery": delivery,
        "endpoint": endpoint,
        "attempts": shown,
        "scale_ms": scale_ms,
        "timed_out_at": scale_ms == timeout_ms,
        "signatures": _signatures_of(endpoint, brand=installation.brand),
        "body": body,
        "is_redacted": is_redacted,
        "curl": _curl(endpoint.url, headers[-1], body) if endpoint and headers and body is not None else None,
        "now": now,
    }
    return live_page(request, "delivery", user, values)


@routes.post("/deliveries/{delivery_id}/retry")
async def retry(request: Request, db: Session, actor: Actor, delivery_id: str) -> Response:
    """Send the delivery again, at once where it waits for its next attempt."""
    user = session_user_of(request)
    await manage_deliveries.send_again(db, actor, tenant_of(user), parse_id(Prefix.DELIVERY, delivery_id))
    return redirect(user.link(f"/deliveries/{delivery_id}"))


async def _names(db: Session, tenant: Tenant, chosen: UUID | None) -> dict[str, str]:
    """Return what endpoints are called, by id; the newest, and the one that is chosen, also where it is deleted."""
    rows = await endpoints.page(db, tenant, **Window(before=None, limit=MAX_NAMED))
    names = {
        text_of(Prefix.ENDPOINT, row.id): row.name if isinstance(row, Unreadable) else row.name or row.url
        for row in rows
    }
    return names if chosen is None else {text_of(Prefix.ENDPOINT, chosen): text_of(Prefix.ENDPOINT, chosen)} | names


def _headers_of(delivery: Delivery, attempt: Attempt, endpoint: Endpoint | None, *, brand: str) -> Mapping[str, str]:
    """Return the headers of the attempt but its signatures; without the endpoint, which is deleted, no custom ones."""
    return unsigned_headers(
        delivery.event_id,
        delivery.event_type.value,
        attempt=attempt.number,
        timestamp=int(attempt.started_at.timestamp()),
        custom=endpoint.headers if endpoint else {},
        names=_header_names(endpoint, brand),
    )


def _signatures_of(endpoint: Endpoint | None, *, brand: str) -> Sequence[str]:
    """Return the names of the headers that hold signatures."""
    return _header_names(endpoint, brand).signatures()


def _curl(url: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the command that sends the same, to be pasted into a shell."""
    lines = [f"curl -X POST {shlex.quote(url)}"]
    lines += [f"  -H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    lines.append(f"  --data-binary {shlex.quote(body.decode())}")
    return " \\\n".join(lines)


def _header_names(endpoint: Endpoint | None, brand: str) -> HeaderNames:
    return HeaderNames(endpoint.signature_profile if endpoint else SignatureProfile.STANDARD, brand)
