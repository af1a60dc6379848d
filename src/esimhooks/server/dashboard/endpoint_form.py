"""The form of an endpoint, new or changed: fields of the form in, the body of the API out, with what was typed kept.

A value that is not taken is shown in its field again, with what was expected beside it. The rules are the API's.
"""

from collections.abc import Mapping

from msgspec import Struct

from esimhooks.server.api.endpoints import EndpointBody, wanted
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import form_of, require_manager, session_user_of, tenant_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import Endpoint, Ordering, SignatureProfile
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import FOR_MERCHANTS
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.schedule import NAMED
from esimhooks.server.domain.validation import convert
from esimhooks.server.manage import endpoints as manage_endpoints
from esimhooks.server.manage.endpoints import EndpointRules
from esimhooks.server.store import endpoints
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType

PLAIN = {
    "url": "url",
    "name": "name",
    "filter": "filter",
    "timeout": "timeout_s",
    "maxInFlight": "max_in_flight",
    "rateLimit": "rate_limit",
    "ordering": "ordering",
    "signatureProfile": "signature_profile",
    "caCertificate": "ca_pem",
}
"""Fields of a single value, and the members of `EndpointConfig` that they fill in."""
OPTIONS = {
    "types": [*EventType, *sorted(FOR_MERCHANTS)],
    "orderings": list(Ordering),
    "profiles": list(SignatureProfile),
    "schedules": NAMED,
}

routes = Routes(BY_SESSION)


class Filled(Struct, frozen=True, kw_only=True):
    """A form as it is shown: the text of each field, the types that are ticked, and what is wrong with which field."""

    fields: Mapping[str, str]
    types: tuple[str, ...] = ()
    errors: Mapping[str, str] = {}


@routes.get("/endpoints/new")
async def new_endpoint(request: Request) -> Response:
    """Show the form of a new endpoint."""
    tenant_of(session_user_of(request))
    return _form(request, Filled(fields={}), endpoint=None)


@routes.post("/endpoints")
async def create_endpoint(request: Request, db: Session, actor: Actor, rules: EndpointRules) -> Response:
    """Make an endpoint, and show its secret."""
    user = session_user_of(request)
    form = await form_of(request)
    try:
        new = wanted(_body(form))
        made = await manage_endpoints.create_endpoint(db, actor, tenant_of(user), new, rules)
    except Refused as refused:
        return _form(request, _refill(form, refused), endpoint=None, status=refused.status)
    return redirect(user.link(f"/endpoints/{text_of(Prefix.ENDPOINT, made.endpoint.id)}/secrets", new="yes"))


@routes.get("/endpoints/{endpoint_id}/edit")
async def changes_form(request: Request, db: Session, endpoint_id: str) -> Response:
    """Show the form with what stands."""
    user = session_user_of(request)
    require_manager(user)  # values of headers are passwords as often as not
    endpoint = found(await endpoints.find(db, tenant_of(user), parse_id(Prefix.ENDPOINT, endpoint_id)), "endpoint")
    return _form(request, _fill(endpoint), endpoint=endpoint)


@routes.post("/endpoints/{endpoint_id}/edit")
async def save(request: Request, db: Session, actor: Actor, rules: EndpointRules, endpoint_id: str) -> Response:
    """Store what the form says."""
    user = session_user_of(request)
    tenant, known = tenant_of(user), parse_id(Prefix.ENDPOINT, endpoint_id)
    endpoint = found(await endpoints.find(db, tenant, known), "endpoint")
    form = await form_of(request)
    try:
        change = wanted(_body(form, before=endpoint))
        await manage_endpoints.change_endpoint(db, actor, tenant, known, change, rules)
    except Refused as refused:
        return _form(request, _refill(form, refused), endpoint=endpoint, status=refused.status)
    return redirect(user.link(f"/endpoints/{endpoint_id}"))


def _form(request: Request, filled: Filled, *, endpoint: Endpoint | None, status: int = 200) -> Response:
    title = "Edit the endpoint" if endpoint else "New endpoint"
    values = {"title": title, "endpoint": endpoint, "form": filled, **OPTIONS}
    return page("endpoint_form.html", session_user_of(request), values, status=status)


def _body(form: Mapping[str, str], before: Endpoint | None = None) -> EndpointBody:
    """Return the whole form as the body of the API; an empty field is null: its default. Raises `Refused` (422).

    Headers that the endpoint had before, and the form has no more, are removed.
    """
    plain = {name: form.get(name, "").strip() or None for name in PLAIN}
    removed = dict.fromkeys(before.headers) if before else {}
    schedule = [one.strip() for one in form.get("retrySchedule", "").split(",") if one.strip()]
    lists = {
        "eventTypes": [one for one in form.get("eventTypes", "").split(",") if one] or None,
        "retrySchedule": schedule[0] if schedule and schedule[0] in NAMED else schedule or None,
        "headers": removed | _headers(form.get("headers", "")),
        "redactCredentials": "redactCredentials" in form,
    }
    return convert(plain | lists | {"url": form.get("url", "").strip()}, EndpointBody, strict=False)


def _headers(text: str) -> dict[str, str]:
    """Return the headers of the lines `name: value`. Raises `Refused` (422) for a line that is none."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            raise Refused.invalid("/headers", f"expected lines such as x-shop: 7, not {line.strip()[:40]}")
        if line.strip():
            found[name.strip().lower()] = value.strip()
    return found


def _fill(endpoint: Endpoint) -> Filled:
    fields = {name: _text(getattr(endpoint, member)) for name, member in PLAIN.items()} | {
        "retrySchedule": ", ".join(map(str, endpoint.retry_schedule)),
        "headers": "\n".join(f"{name}: {value}" for name, value in endpoint.headers.items()),
    }
    return Filled(
        fields=fields | ({"redactCredentials": "on"} if endpoint.redact_credentials else {}),
        types=endpoint.event_types or (),
    )


def _text(value: object) -> str:
    """Return a value as it is typed."""
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _refill(form: Mapping[str, str], refused: Refused) -> Filled:
    """Return the form as it was typed, with what is wrong; the part of a field that is wrong counts for the field."""
    errors = {one.pointer.split("/")[1]: one.detail for one in refused.errors if one.pointer.startswith("/")}
    types = tuple(one for one in form.get("eventTypes", "").split(",") if one)
    return Filled(fields=form, types=types, errors=errors or {"": refused.detail})
