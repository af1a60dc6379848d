"""The pages put together: those that need a session, the sign-in page, and scripts and styles, which need none."""

from litestar import Response, Router

from esimhooks.server.api.auth import AnyRequest
from esimhooks.server.api.context import context_of
from esimhooks.server.dashboard import (
    audit,
    deliveries,
    endpoint_changes,
    endpoint_secrets,
    endpoints,
    esims,
    events,
    operators,
    overview,
    recoveries,
    requeries,
    search,
    sign_in,
)
from esimhooks.server.dashboard.assets import static_file
from esimhooks.server.dashboard.render import ERRORS
from esimhooks.server.dashboard.visitor import admit


def dashboard_router() -> Router:
    """Return the routes of the dashboard."""
    pages = Router(
        "/",
        route_handlers=[
            overview.overview,
            overview.figures,
            esims.list_esims,
            esims.show_esim,
            esims.show_qr,
            esims.requery,
            events.list_events,
            events.show_event,
            events.catalogue,
            events.show_schema,
            events.try_event,
            deliveries.list_deliveries,
            deliveries.show_delivery,
            deliveries.retry,
            endpoints.list_endpoints,
            endpoints.new_endpoint,
            endpoints.create_endpoint,
            endpoints.show_endpoint,
            endpoints.delete_endpoint,
            endpoint_changes.ask_changes,
            endpoint_changes.change,
            endpoint_changes.enable,
            endpoint_changes.disable,
            endpoint_changes.send_example,
            endpoint_secrets.show_secrets,
            endpoint_secrets.rotate,
            requeries.ask_requery,
            requeries.begin_requery,
            requeries.show_requery,
            requeries.cancel_requery,
            recoveries.ask_recovery,
            recoveries.count,
            recoveries.recover,
            recoveries.show_recovery,
            operators.list_accounts,
            operators.create_account,
            operators.show_account,
            operators.create_key,
            operators.revoke_key,
            audit.list_audit,
            operators.list_journal,
            operators.show_notification,
            operators.replay,
            search.search,
            sign_in.sign_out,
        ],
        before_request=_enter,
        exception_handlers=ERRORS,
    )
    open_pages = Router("/", route_handlers=[sign_in.ask_key, sign_in.sign_in], exception_handlers=ERRORS)
    return Router("/", route_handlers=[pages, open_pages, static_file])


async def _enter(request: AnyRequest) -> Response[bytes] | None:
    return await admit(request, context_of(request.scope))
