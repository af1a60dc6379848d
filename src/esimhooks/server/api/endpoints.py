"""Endpoints: `/v1/endpoints`, for merchants and for operators who name an account."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict, replace

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import Name, Text, Url
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.merge_patch import merged
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import DisabledReason, Endpoint, Ordering, SignatureProfile, Tenant
from esimhooks.server.domain.endpoint_rules import (
    MAX_HEADERS,
    MAX_NAME,
    MAX_PEM,
    header_error,
    parse_cas,
    wants,
)
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.schedule import MAX_ATTEMPTS, NAMED
from esimhooks.server.domain.validation import escaped
from esimhooks.server.manage import endpoints as manage_endpoints
from esimhooks.server.manage.endpoints import EndpointRules, NewEndpoint
from esimhooks.server.manage.lists import found
from esimhooks.server.store import endpoints
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode
from esimhooks.vocabulary.timestamps import timestamp

Value = TypeVar("Value", str, str | None)

LONGEST_DELAY_S = 604_800
FASTEST = 10_000
"""Requests a second that a rate limit may allow at most."""
Schedule = Annotated[list[Annotated[int, Meta(ge=0, le=LONGEST_DELAY_S)]], Meta(min_length=1, max_length=MAX_ATTEMPTS)]


Pem = Annotated[str, Meta(min_length=1, max_length=MAX_PEM)]


class EndpointBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """What a merchant tells of an endpoint. `retrySchedule` is a list of seconds or the name of a schedule.

    `rateLimit` is requests a second over all nodes, null for none; with `ordering` "esim" the deliveries of an eSIM wait
    for each other. `headers` are sent with every request besides ours.
    `signatureProfile` adds signatures to the standard one; `redactCredentials` leaves activation codes
    and the addresses of their pictures out of what is sent. `caCertificate` are up to five certificates of authorities
    (PEM) that may vouch for the receiver beside those of the system.
    """

    url: Url
    name: Name | None = None
    event_types: Annotated[list[Text], Meta(min_length=1, max_length=20)] | None = None
    retry_schedule: Schedule | str | None = None
    timeout: Annotated[float, Meta(ge=1, le=30)] | None = None
    max_in_flight: Annotated[int, Meta(ge=1, le=200)] | None = None
    rate_limit: Annotated[int, Meta(ge=1, le=FASTEST)] | None = None
    ordering: Ordering = Ordering.NONE
    headers: dict[str, str] = {}
    signature_profile: SignatureProfile = SignatureProfile.STANDARD
    redact_credentials: bool = False
    ca_certificate: Pem | None = None


class EndpointPatch(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """What a merchant changes of an endpoint; null puts a field back to its default, of `headers` it removes one."""

    url: Url | UnsetType = UNSET
    name: Name | UnsetType | None = UNSET
    event_types: Annotated[list[Text], Meta(min_length=1, max_length=20)] | UnsetType | None = UNSET
    retry_schedule: Schedule | str | UnsetType | None = UNSET
    timeout: Annotated[float, Meta(ge=1, le=30)] | UnsetType | None = UNSET
    max_in_flight: Annotated[int, Meta(ge=1, le=200)] | UnsetType | None = UNSET
    rate_limit: Annotated[int, Meta(ge=1, le=FASTEST)] | UnsetType | None = UNSET
    ordering: Ordering | UnsetType | None = UNSET
    headers: dict[str, str | None] | UnsetType | None = UNSET
    signature_profile: SignatureProfile | UnsetType | None = UNSET
    redact_credentials: bool | UnsetType | None = UNSET
    ca_certificate: Pem | UnsetType | None = UNSET


class AuthorityView(Struct, rename="camel"):
    """An authority that an endpoint trusts."""

    subject: str
    expires_at: str


class EndpointView(Struct, rename="camel", kw_only=True):
    """An endpoint as it is shown; never its secret."""

    id: str
    mode: Mode
    url: str
    name: str | None
    event_types: list[str] | None
    retry_schedule: list[int]
    timeout: float
    max_in_flight: int
    rate_limit: int | None
    ordering: Ordering
    headers: dict[str, str]
    signature_profile: SignatureProfile
    redact_credentials: bool
    ca_certificate: str | None
    authorities: list[AuthorityView]
    enabled: bool
    disabled_reason: DisabledReason | None
    created_at: str
    updated_at: str


class MadeEndpointView(EndpointView, rename="camel", kw_only=True):
    """A new endpoint; the secret is shown this once. `publicKey` is null without a key pair."""

    secret: str
    public_key: str | None


routes = Routes(BY_KEY)


@routes.post(
    "/v1/endpoints",
    example={"url": "https://hooks.example.com/esims", "eventTypes": ["esim.activated"], "retrySchedule": [0, 60, 300]},
)
async def create_endpoint(
    db: Session, actor: Actor, rules: EndpointRules, tenant: Tenant, data: EndpointBody
) -> MadeEndpointView:
    """Make an endpoint; its secret is shown this once."""
    made = await manage_endpoints.create_endpoint(db, actor, tenant, _told(data), rules)
    view = _view(made.endpoint)
    return MadeEndpointView(**asdict(view), secret=made.secret, public_key=made.public_key)


@routes.get("/v1/endpoints")
async def list_endpoints(db: Session, tenant: Tenant, limit: Limit = 25, cursor: Cursor = None) -> Listed[EndpointView]:
    """List endpoints."""
    rows = await endpoints.page(db, tenant, **window(limit, cursor))
    return listed(rows, limit, _view, lambda endpoint: endpoint.id)


@routes.get("/v1/endpoints/{endpoint_id}")
async def show_endpoint(db: Session, tenant: Tenant, endpoint_id: str) -> EndpointView:
    """Show an endpoint."""
    return _view(found(await endpoints.find(db, tenant, parse_id(Prefix.ENDPOINT, endpoint_id)), "endpoint"))


@routes.patch("/v1/endpoints/{endpoint_id}", example={"timeout": 2.5, "headers": {"x-shop": "7"}, "name": None})
async def change_endpoint(
    db: Session, actor: Actor, rules: EndpointRules, tenant: Tenant, endpoint_id: str, data: EndpointPatch
) -> EndpointView:
    """Change an endpoint; what waits goes out as it then stands."""
    known = parse_id(Prefix.ENDPOINT, endpoint_id)
    return _view(await manage_endpoints.change_endpoint(db, actor, tenant, known, changes_of(data), rules))


@routes.post("/v1/endpoints/{endpoint_id}/enable", status=200)
async def enable_endpoint(db: Session, actor: Actor, now: datetime, tenant: Tenant, endpoint_id: str) -> EndpointView:
    """Switch an endpoint on; what waits for it goes out."""
    return _view(
        await manage_endpoints.switch_endpoint(
            db, actor, tenant, parse_id(Prefix.ENDPOINT, endpoint_id), enabled=True, now=now
        )
    )


@routes.post("/v1/endpoints/{endpoint_id}/disable", status=200)
async def disable_endpoint(db: Session, actor: Actor, now: datetime, tenant: Tenant, endpoint_id: str) -> EndpointView:
    """Switch an endpoint off; what waits for it stays."""
    return _view(
        await manage_endpoints.switch_endpoint(
            db, actor, tenant, parse_id(Prefix.ENDPOINT, endpoint_id), enabled=False, now=now
        )
    )


@routes.delete("/v1/endpoints/{endpoint_id}")
async def delete_endpoint(db: Session, actor: Actor, now: datetime, tenant: Tenant, endpoint_id: str) -> None:
    """Delete an endpoint; what waits for it is cancelled."""
    await manage_endpoints.delete_endpoint(db, actor, tenant, parse_id(Prefix.ENDPOINT, endpoint_id), now=now)


def changes_of(patch: EndpointPatch) -> Callable[[Endpoint], NewEndpoint]:
    """Return what makes of an endpoint as it stands what the patch wants. Raises `Refused` (422)."""
    if patch.headers:
        patch = replace(patch, headers=_in_lower_case(patch.headers))
    return lambda before: _told(merged(_body(before), patch))


def _told(body: EndpointBody) -> NewEndpoint:
    return NewEndpoint(
        url=body.url,
        name=body.name,
        event_types=_event_types(body.event_types),
        retry_schedule=_schedule(body.retry_schedule),
        timeout_s=body.timeout,
        max_in_flight=body.max_in_flight,
        rate_limit=body.rate_limit,
        ordering=body.ordering,
        headers=_headers(body.headers),
        signature_profile=body.signature_profile,
        redact_credentials=body.redact_credentials,
        ca_pem=body.ca_certificate,
    )


def _body(endpoint: Endpoint) -> EndpointBody:
    """Return what a merchant would have to tell to make this endpoint."""
    return EndpointBody(
        url=endpoint.url,
        name=endpoint.name,
        event_types=None if endpoint.event_types is None else list(endpoint.event_types),
        retry_schedule=list(endpoint.retry_schedule),
        timeout=endpoint.timeout_s,
        max_in_flight=endpoint.max_in_flight,
        rate_limit=endpoint.rate_limit,
        ordering=endpoint.ordering,
        headers=dict(endpoint.headers),
        signature_profile=endpoint.signature_profile,
        redact_credentials=endpoint.redact_credentials,
        ca_certificate=endpoint.ca_pem,
    )


def _in_lower_case(headers: Mapping[str, Value]) -> dict[str, Value]:
    lower = {name.lower(): value for name, value in headers.items()}
    if len(lower) != len(headers):
        raise Refused.invalid("/headers", "expected each header once: upper and lower case are the same")
    return lower


def _headers(told: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    headers = _in_lower_case(told)
    if len(headers) > MAX_HEADERS:
        raise Refused.invalid("/headers", f"expected at most {MAX_HEADERS} headers")
    for name, value in headers.items():
        if (why := header_error(name, value)) is not None:
            raise Refused.invalid(f"/headers/{escaped(name[:MAX_NAME])}", why)
    return tuple(sorted(headers.items()))


def _event_types(patterns: list[str] | None) -> tuple[str, ...] | None:
    for place, pattern in enumerate(patterns or []):
        if not any(wants([pattern], event) for event in EventType):
            raise Refused.invalid(f"/eventTypes/{place}", "expected an event type such as esim.activated, or esim.*")
    return None if patterns is None else tuple(patterns)


def _schedule(told: list[int] | str | None) -> tuple[int, ...] | None:
    if isinstance(told, str):
        if told not in NAMED:
            raise Refused.invalid("/retrySchedule", f"expected a list of seconds or one of {', '.join(NAMED)}")
        return NAMED[told]
    return None if told is None else tuple(told)


def _view(endpoint: Endpoint) -> EndpointView:
    return EndpointView(
        id=text_of(Prefix.ENDPOINT, endpoint.id),
        mode=endpoint.tenant.mode,
        url=endpoint.url,
        name=endpoint.name,
        event_types=None if endpoint.event_types is None else list(endpoint.event_types),
        retry_schedule=list(endpoint.retry_schedule),
        timeout=endpoint.timeout_s,
        max_in_flight=endpoint.max_in_flight,
        rate_limit=endpoint.rate_limit,
        ordering=endpoint.ordering,
        headers=dict(endpoint.headers),
        signature_profile=endpoint.signature_profile,
        redact_credentials=endpoint.redact_credentials,
        ca_certificate=endpoint.ca_pem,
        authorities=[
            AuthorityView(one.subject, timestamp(one.expires_at))
            for one in (parse_cas(endpoint.ca_pem) if endpoint.ca_pem else ())
        ],
        enabled=endpoint.enabled,
        disabled_reason=endpoint.disabled_reason,
        created_at=timestamp(endpoint.created_at),
        updated_at=timestamp(endpoint.updated_at),
    )
