"""The web application: routes, who is calling, the strictness of bodies, and errors. Assembled, not decided here."""

from typing import Any

from litestar import Litestar, Request, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException

from esimhooks.server.model.endpoint import Tenant
from esimhooks.server.model.errors import EsimhooksError, Refused
from esimhooks.server.web import strict_json
from esimhooks.server.web.api import (
    accounts,
    deliveries,
    endpoints,
    esims,
    events,
    health,
    inbound,
    notifications,
    orders,
    providers,
    test_events,
)
from esimhooks.server.web.auth import AnyRequest, Principal, require_operator, tenant_of
from esimhooks.server.web.context import Context
from esimhooks.server.web.errors import handle_http, handle_ours, handle_unexpected, handle_validation

LARGEST_BODY_BYTES = 262_144


def build_app(context: Context) -> Litestar:
    """Return the ASGI application."""

    async def operator(request: AnyRequest, context: Context) -> Principal:
        caller = await context.authenticator.principal(request)
        require_operator(caller)
        return caller

    async def tenant(request: AnyRequest, context: Context) -> Tenant:
        caller = await context.authenticator.principal(request)
        query = request.query_params
        return tenant_of(caller, account=query.get("account"), mode=query.get("mode"))

    api = Router(
        "/",
        route_handlers=[
            accounts.router,
            deliveries.router,
            endpoints.router,
            esims.router,
            events.router,
            inbound.accept_updates,
            notifications.router,
            orders.router,
            providers.router,
            test_events.router,
        ],
        before_request=check_body,
    )
    return Litestar(
        route_handlers=[api, inbound.router, health.healthz, health.readyz],
        dependencies={
            "context": Provide(lambda: context, sync_to_thread=False, use_cache=True),
            "operator": Provide(operator),
            "tenant": Provide(tenant),
        },
        exception_handlers={
            EsimhooksError: handle_ours,
            ValidationException: handle_validation,
            HTTPException: handle_http,
            Exception: handle_unexpected,
        },
        request_max_body_size=LARGEST_BODY_BYTES,
        openapi_config=None,
        logging_config=None,
        path="/",
    )


async def check_body(request: Request[Any, Any, Any]) -> None:
    """Refuse a body that is not JSON, or JSON that two parsers could read differently."""
    body = await request.body()
    if not body:
        return
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("application/json", "application/merge-patch+json"):
        raise Refused("expected content-type: application/json", status=415, code="UNSUPPORTED_MEDIA_TYPE")
    strict_json.check(body)
