"""The web application: routes, who is calling, the strictness of bodies, and errors. Assembled, not decided here."""

from functools import cache

from litestar import Litestar, Response, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from esimhooks.server.api import (
    accounts,
    audit,
    deliveries,
    endpoint_checks,
    endpoint_secrets,
    endpoints,
    esims,
    event_types,
    events,
    health,
    inbound,
    notifications,
    orders,
    pictures,
    providers,
    recoveries,
    requeries,
    stream,
    test_events,
    trace,
)
from esimhooks.server.api.auth import AnyRequest, Principal, actor_of, require_operator, tenant_of
from esimhooks.server.api.context import GIVEN, Context, context_of
from esimhooks.server.api.entry import LARGEST_BODY_BYTES, admit, check_path, note_use, read_body
from esimhooks.server.api.given import InContext
from esimhooks.server.api.idempotency import Idempotency, replayed
from esimhooks.server.api.problems import handle_http, handle_ours, handle_unexpected, handle_validation
from esimhooks.server.api.rate_limit import limits
from esimhooks.server.api.reference import pages
from esimhooks.server.api.short_way import short_way
from esimhooks.server.dashboard.router import dashboard_router
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import EsimhooksError
from esimhooks.server.store.audit import act_as


def application(context: Context) -> ASGIApp:
    """Return the ASGI application that hands this context to every handler."""
    app = routes()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][GIVEN] = context
        await app(scope, receive, send)

    return short_way(answer, context)


@cache
def routes() -> Litestar:
    """Return all routes. They hold nothing of a node, and are made once, which takes the framework a third of a second."""
    api = Router(
        "/",
        route_handlers=[
            accounts.router,
            audit.list_audit,
            deliveries.router,
            endpoints.router,
            endpoint_secrets.router,
            endpoint_checks.router,
            esims.router,
            event_types.router,
            events.router,
            inbound.accept_updates,
            notifications.router,
            orders.router,
            pictures.show_qr,
            providers.router,
            recoveries.router,
            requeries.requery_many,
            requeries.router,
            stream.stream,
            test_events.router,
            trace.show_trace,
        ],
        before_request=_enter,
        middleware=[Idempotency],
        after_response=_leave,
    )
    notifying = Router("/", route_handlers=[inbound.router], before_request=_enter_inbound)
    return Litestar(
        route_handlers=[
            api,
            notifying,
            dashboard_router(),
            event_types.show_schema,
            pages.show_asyncapi,
            pages.show_openapi,
            pages.show_reference,
            pictures.show_open_qr,
            health.healthz,
            health.readyz,
            health.read_metrics,
        ],
        dependencies={
            "context": Provide(_context, sync_to_thread=False),
            "caller": Provide(_caller),
            "operator": Provide(_operator),
            "tenant": Provide(_tenant),
        },
        exception_handlers={
            EsimhooksError: handle_ours,
            ValidationException: handle_validation,
            HTTPException: handle_http,
            Exception: handle_unexpected,
        },
        before_send=[_tell_limits],
        request_max_body_size=LARGEST_BODY_BYTES,
        openapi_config=None,
        logging_config=None,
        path="/",
    )


async def _enter(request: AnyRequest) -> Response[bytes] | None:
    context = context_of(request.scope)
    caller = await admit(request, context)
    request.scope["state"]["caller"] = caller
    act_as(actor_of(caller, context.authenticator.peer(request)))
    return await replayed(request, context, caller)


async def _enter_inbound(request: AnyRequest) -> None:
    check_path(request)
    await read_body(request)


async def _leave(request: AnyRequest) -> None:
    await note_use(context_of(request.scope), request.scope["state"]["caller"])


def _context(request: AnyRequest) -> Context:
    return context_of(request.scope)


# These three ask for the context only to come after it: what the framework resolves together costs a task each.
async def _operator(request: AnyRequest, context: InContext) -> Principal:
    caller: Principal = request.scope["state"]["caller"]
    require_operator(caller)
    return caller


async def _caller(request: AnyRequest, context: InContext) -> Principal:
    known: Principal = request.scope["state"]["caller"]
    return known


async def _tenant(request: AnyRequest, context: InContext) -> Tenant:
    query = request.query_params
    return tenant_of(request.scope["state"]["caller"], account=query.get("account"), mode=query.get("mode"))


async def _tell_limits(message: Message, scope: Scope) -> None:
    leave = scope["state"].get("leave")
    if leave is not None and message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], *limits(leave)]
