"""What lets requests in: a key for the API, nothing for what is open, nothing but a whole request at inbound addresses.

Who is calling is known before anything it sent is looked at; a request without a key is refused before all else.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Any

from esimhooks.server.api.auth import (
    Authenticator,
    KeyRefused,
    Principal,
    actor_of,
    require_operator,
    require_permission,
    tenant_of,
)
from esimhooks.server.api.http import Answer, Request, Response
from esimhooks.server.api.installation import TO_ALL, Installation, Services
from esimhooks.server.api.limits import RateLimitState, limits
from esimhooks.server.api.parameters import Provide
from esimhooks.server.api.problems import problem_of
from esimhooks.server.api.router import Access, Route
from esimhooks.server.api.transaction import HEADER, Begin, carry_out, carry_out_once
from esimhooks.server.domain.audit import Action, Actor, ChangedField
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.observe.log import get_logger
from esimhooks.server.observe.refused import RefusalKind
from esimhooks.server.store import keys
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Database, Session

log = get_logger("web")


ACTOR: Mapping[Any, Provide] = {
    Actor: lambda request: actor_of(request.caller, request.services[Authenticator].peer(request)),
    Principal: lambda request: request.caller,
    Session: lambda request: request.db,
    Session | None: lambda request: request.db,
    Begin: lambda request: request.begin,
}
"""How handlers come by who is calling, and by the session of the request. `Session | None`: only under an Idempotency-Key."""


class _Open:
    """For everybody; handlers read the query and the body themselves, and change nothing in a session of theirs."""

    provides: Mapping[Any, Provide] = {**TO_ALL, Session: ACTOR[Session]}
    tenant: type | None = None

    async def answer(self, request: Request, route: Route) -> Answer:
        route.takes.read_path(request)
        if Session not in route.takes.provided_types:
            return await route.call(request)
        database: Database = request.services[Database]
        async with database.session() as request.db:
            return await route.call(request)

    def refusal(self, request: Request, error: Exception) -> Response:
        return problem_of(request, error)

    async def after(self, request: Request) -> None:
        return None


class _ByKey:
    """For holders of an API key, as often as its limits allow."""

    provides: Mapping[Any, Provide] = {
        **TO_ALL,
        **ACTOR,
        Tenant: lambda request: tenant_of(
            request.caller, account=request.query.get("account"), mode=request.query.get("mode")
        ),
    }
    tenant: type | None = Tenant

    async def answer(self, request: Request, route: Route) -> Answer:
        authenticator: Authenticator = request.services[Authenticator]
        request.caller = caller = await authenticator.principal(request)
        if caller.tenant is not None and caller.lookup is not None:
            request.rate_limit = check_rate_limit(request, caller.lookup)
        if route.operators:
            require_operator(caller)
        require_permission(caller, route.permission)
        await route.takes.read(request)
        if HEADER in request.headers and request.method == "POST" and not route.only_reads:
            return _with_headers(request, await carry_out_once(request, route, caller.tenant))
        return _with_headers(request, await carry_out(request, route))

    def refusal(self, request: Request, error: Exception) -> Response:
        record_refusal(request, error)
        answer = problem_of(request, error)
        _with_headers(request, answer)
        return answer

    async def after(self, request: Request) -> None:
        if request.refused is not None:
            await audit_refusal(request)
        elif request.caller is not None:
            await record_key_use(request.services, request.caller)


OPEN: Access = _Open()
BY_KEY: Access = _ByKey()


def check_rate_limit(request: Request, lookup: str) -> RateLimitState | None:
    """Count a request of a merchant's key, by the public part of it. Raises `Refused` (429)."""
    installation: Installation = request.services[Installation]
    authenticator: Authenticator = request.services[Authenticator]
    try:
        return installation.keys_limit.take(lookup, now=monotonic())
    except Refused:
        authenticator.throttle.note(RefusalKind.RATE, authenticator.peer(request))
        raise


def record_refusal(request: Request, error: Exception) -> None:
    """Store who was refused with the request, for `audit_refusal`; what a role forbids is counted here."""
    if not isinstance(error, KeyRefused):
        return
    request.refused = error
    if error.what is RefusalKind.ROLE:
        authenticator: Authenticator = request.services[Authenticator]
        authenticator.throttle.note(error.what, authenticator.peer(request))


async def audit_refusal(request: Request) -> None:
    """Write to the audit log that a known key was refused, once a minute for each address."""
    authenticator: Authenticator = request.services[Authenticator]
    refused: KeyRefused = request.refused
    holder, address = refused.holder, authenticator.peer(request)
    if holder.key_id is None or not authenticator.throttle.is_audit_due(holder.key_id, address):
        return
    database: Database = request.services[Database]
    why = {
        "refused": ChangedField(None, refused.detail),
        "request": ChangedField(None, f"{request.method} {request.path}"),
    }
    try:
        async with database.transaction() as db:
            await record_action(
                db, actor_of(holder, address), Action.ACCESS_REFUSE, holder.key_id, owner=holder.tenant, changes=why
            )
    except Exception as error:
        log.exception("access.refusal_not_noted", error=error)


async def record_key_use(services: Services, caller: Principal) -> None:
    """Record that a key was used, where that is due; a caller that has its answer does not feel it fail."""
    authenticator: Authenticator = services[Authenticator]
    lookup = authenticator.use_to_record(caller)
    if lookup is None:
        return
    database: Database = services[Database]
    installation: Installation = services[Installation]
    try:
        async with database.session() as db:
            await keys.record_use(db, [lookup], now=installation.clock())
    except Exception as error:
        log.exception("key.use_not_noted", error=error)


def _with_headers(request: Request, answer: Answer) -> Answer:
    """Add what no proxy may store and what the caller may do yet."""
    answer.headers.setdefault("cache-control", "no-store")
    if request.rate_limit is not None:
        answer.headers.update(limits(request.rate_limit))
    return answer
