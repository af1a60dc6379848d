"""Endpoints: `/v1/endpoints`, for merchants and for operators who name an account."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import UNSET, Struct, UnsetType, defstruct
from msgspec.structs import replace

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.auth import Principal
from esimhooks.server.api.bodies import EndpointId
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.merge_patch import merged, patch_of, patch_values, shown_with
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.delivery import OutcomeClass
from esimhooks.server.domain.endpoint import (
    DisabledReason,
    Endpoint,
    EndpointConfig,
    Tenant,
    configuration,
    without_header_values,
)
from esimhooks.server.domain.endpoint_rules import in_lower_case
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.health import EndpointHealth, EndpointState, LaneFacts, health_of
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.roles import may_see_secrets
from esimhooks.server.domain.schedule import NAMED
from esimhooks.server.domain.trusted_cas import parse_cas
from esimhooks.server.domain.validation import Text
from esimhooks.server.manage import endpoints as manage_endpoints
from esimhooks.server.manage.endpoints import Change, EndpointRules
from esimhooks.server.store import endpoints
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode
from esimhooks.vocabulary.timestamps import timestamp, timestamp_or_none

NEVER_NULL = ("url",)
ALSO = {"retry_schedule": str}
"""The name of a schedule stands for its seconds."""


class AuthorityView(Struct, rename="camel"):
    """A CA that an endpoint trusts."""

    subject: str
    expires_at: str


class FailureView(Struct, rename="camel", kw_only=True):
    """The last failed attempt."""

    outcome: OutcomeClass
    status_code: int | None
    error: str | None
    at: str


class EndpointHealthView(Struct, rename="camel", kw_only=True):
    """An endpoint's health.

    `since` is when this state began, `nextAttemptAt` when the next attempt is due, or null. `waiting` counts pending
    deliveries, `retrying` those of them that failed before; 1000 means 1000 or more.
    """

    state: EndpointState
    since: str | None
    next_attempt_at: str | None
    waiting: int
    waiting_since: str | None
    retrying: int
    failures_in_a_row: int
    last_failure: FailureView | None


SHOWN: dict[str, Any] = {
    "id": str,
    "mode": Mode,
    "enabled": bool,
    "disabled_reason": DisabledReason | None,
    "paused": bool,
    "health": EndpointHealthView,
    "created_at": str,
    "updated_at": str,
    "authorities": list[AuthorityView],
}
"""What is shown of an endpoint besides its configuration."""

if TYPE_CHECKING:
    EndpointBody: TypeAlias = Struct
    EndpointPatch: TypeAlias = Struct
    EndpointView: TypeAlias = Struct
    MadeEndpointView: TypeAlias = Struct
else:
    EndpointBody = defstruct(
        "EndpointBody",
        [("secret", Text | UnsetType | None, UNSET)],
        bases=(patch_of(EndpointConfig, "NewConfig", "", never_null=NEVER_NULL, required=True, also=ALSO),),
        forbid_unknown_fields=True,
        kw_only=True,
        namespace={
            "__doc__": "What a merchant says of an endpoint. `retrySchedule` is a list of seconds or the name of a schedule; "
            "`secret` one that the receiver has already: `whsec_` and the base64 of 24 to 64 bytes."
        },
    )
    EndpointPatch = patch_of(
        EndpointConfig,
        "EndpointPatch",
        "What a merchant changes of an endpoint; null puts a field back to its default, of `headers` it removes one.",
        never_null=NEVER_NULL,
        required=False,
        also=ALSO,
    )
    EndpointView = shown_with(
        EndpointConfig,
        "EndpointView",
        "An endpoint as it is shown; never its secret. Keys that may not see secrets see `\u2026` as the values of its headers.",
        **SHOWN,
    )
    MadeEndpointView = shown_with(
        EndpointConfig,
        "MadeEndpointView",
        "A new endpoint; the secret is shown this once. `publicKey` is null without a key pair.",
        **SHOWN,
        secret=str,
        public_key=str | None,
    )


routes = Routes(BY_KEY)


@routes.post(
    "/v1/endpoints",
    example={"url": "https://hooks.example.com/esims", "eventTypes": ["esim.activated"], "retrySchedule": [0, 60, 300]},
)
async def create_endpoint(
    db: Session, actor: Actor, rules: EndpointRules, tenant: Tenant, data: EndpointBody
) -> MadeEndpointView:
    """Create an endpoint. The answer includes its secret."""
    secret = patch_values(data).get("secret")
    made = await manage_endpoints.create_endpoint(
        db, actor, tenant, wanted(replace(data, secret=UNSET)), rules, secret=None if secret is None else str(secret)
    )
    health = health_of(LaneFacts(enabled=True), now=made.endpoint.created_at)
    return _view(made.endpoint, health, MadeEndpointView, secret=made.secret, public_key=made.public_key)


@routes.get("/v1/endpoints")
async def list_endpoints(
    db: Session, now: datetime, caller: Principal, tenant: Tenant, limit: Limit = 25, cursor: Cursor = None
) -> Listed[EndpointView]:
    """List endpoints."""
    rows = await endpoints.page(db, tenant, **window(limit, cursor))
    known = await manage_endpoints.health_of_each(db, tenant, [row.id for row in rows], now=now)
    return listed(rows, limit, lambda row: _view(_for(caller, row), known[row.id]), lambda endpoint: endpoint.id)


@routes.get("/v1/endpoints/{endpoint_id}")
async def show_endpoint(
    db: Session, now: datetime, caller: Principal, tenant: Tenant, endpoint_id: EndpointId
) -> EndpointView:
    """Show an endpoint."""
    endpoint = found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
    return await _show(db, caller, endpoint, now)


@routes.patch("/v1/endpoints/{endpoint_id}", example={"timeout": 2.5, "headers": {"x-shop": "7"}, "name": None})
async def change_endpoint(
    db: Session,
    actor: Actor,
    now: datetime,
    caller: Principal,
    rules: EndpointRules,
    tenant: Tenant,
    endpoint_id: EndpointId,
    data: EndpointPatch,
) -> EndpointView:
    """Change an endpoint; queued deliveries use the new configuration."""
    changed = await manage_endpoints.change_endpoint(db, actor, tenant, endpoint_id, wanted(data), rules)
    return await _show(db, caller, changed, now)


@routes.post("/v1/endpoints/{endpoint_id}/enable", status=200)
async def enable_endpoint(
    db: Session, actor: Actor, now: datetime, caller: Principal, tenant: Tenant, endpoint_id: EndpointId
) -> EndpointView:
    """Enable an endpoint; what is queued is sent."""
    switched = await manage_endpoints.switch_endpoint(db, actor, tenant, endpoint_id, enabled=True, now=now)
    return await _show(db, caller, switched, now)


@routes.post("/v1/endpoints/{endpoint_id}/disable", status=200)
async def disable_endpoint(
    db: Session, actor: Actor, now: datetime, caller: Principal, tenant: Tenant, endpoint_id: EndpointId
) -> EndpointView:
    """Disable an endpoint; what is queued stays, and new events are not queued for it."""
    switched = await manage_endpoints.switch_endpoint(db, actor, tenant, endpoint_id, enabled=False, now=now)
    return await _show(db, caller, switched, now)


@routes.post("/v1/endpoints/{endpoint_id}/pause", status=200)
async def pause_endpoint(
    db: Session, actor: Actor, now: datetime, caller: Principal, tenant: Tenant, endpoint_id: EndpointId
) -> EndpointView:
    """Pause an endpoint; its events are queued until it is resumed."""
    switched = await manage_endpoints.pause_endpoint(db, actor, tenant, endpoint_id, paused=True, now=now)
    return await _show(db, caller, switched, now)


@routes.post("/v1/endpoints/{endpoint_id}/resume", status=200)
async def resume_endpoint(
    db: Session, actor: Actor, now: datetime, caller: Principal, tenant: Tenant, endpoint_id: EndpointId
) -> EndpointView:
    """Resume a paused endpoint, starting with what is queued."""
    switched = await manage_endpoints.pause_endpoint(db, actor, tenant, endpoint_id, paused=False, now=now)
    return await _show(db, caller, switched, now)


@routes.delete("/v1/endpoints/{endpoint_id}")
async def delete_endpoint(db: Session, actor: Actor, now: datetime, tenant: Tenant, endpoint_id: EndpointId) -> None:
    """Delete an endpoint; its pending deliveries are cancelled."""
    await manage_endpoints.delete_endpoint(db, actor, tenant, endpoint_id, now=now)


def wanted(patch: EndpointBody | EndpointPatch) -> Change:
    """Return what makes of an endpoint as it stands what a body or a patch wants. Raises `Refused` (422)."""
    named = patch_values(patch)
    if isinstance(schedule := named.get("retry_schedule"), str):
        if schedule not in NAMED:
            raise Refused.invalid("/retrySchedule", f"expected a list of seconds or one of {', '.join(NAMED)}")
        patch = replace(patch, retry_schedule=NAMED[schedule])
    if isinstance(headers := named.get("headers"), dict):
        patch = replace(patch, headers=in_lower_case(headers))
    return lambda before, defaults: merged(before, patch, defaults)


async def _show(db: Session, caller: Principal, endpoint: Endpoint, now: datetime) -> EndpointView:
    known = await manage_endpoints.health_of_each(db, endpoint.tenant, [endpoint.id], now=now)
    return _view(_for(caller, endpoint), known[endpoint.id])


def _for(caller: Principal, endpoint: Endpoint) -> Endpoint:
    return endpoint if may_see_secrets(caller.role) else without_header_values(endpoint)


def _health(health: EndpointHealth) -> EndpointHealthView:
    last, facts = health.facts.last_failure, health.facts
    return EndpointHealthView(
        state=health.state,
        since=timestamp_or_none(health.since),
        next_attempt_at=timestamp_or_none(health.next_attempt_at),
        waiting=facts.waiting,
        waiting_since=timestamp_or_none(facts.waiting_since),
        retrying=facts.retrying,
        failures_in_a_row=facts.failures,
        last_failure=None
        if last is None
        else FailureView(outcome=last.outcome, status_code=last.status_code, error=last.error, at=timestamp(last.at)),
    )


def _view(endpoint: Endpoint, health: EndpointHealth, kind: Any = EndpointView, **more: object) -> EndpointView:
    view: EndpointView = kind(
        **configuration(endpoint),
        id=text_of(Prefix.ENDPOINT, endpoint.id),
        mode=endpoint.tenant.mode,
        authorities=[
            AuthorityView(one.subject, timestamp(one.expires_at))
            for one in (parse_cas(endpoint.ca_pem) if endpoint.ca_pem else ())
        ],
        enabled=endpoint.enabled,
        disabled_reason=endpoint.disabled_reason,
        paused=endpoint.paused,
        health=_health(health),
        created_at=timestamp(endpoint.created_at),
        updated_at=timestamp(endpoint.updated_at),
        **more,
    )
    return view
