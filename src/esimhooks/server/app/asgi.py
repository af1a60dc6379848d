"""The web application: the table of all routes. Assembled, not decided here."""

from functools import cache

from esimhooks.server.api import (
    accounts,
    audit,
    deliveries,
    endpoint_checks,
    endpoint_secrets,
    endpoints,
    esims,
    events,
    health,
    inbound,
    jobs,
    keys,
    notifications,
    orders,
    portal,
    providers,
    stream,
    trace,
)
from esimhooks.server.api.installation import Installation, Services
from esimhooks.server.api.reference import reference_routes
from esimhooks.server.api.router import Route, Router
from esimhooks.server.dashboard.access import not_found
from esimhooks.server.dashboard.pages import page_routes

HSTS = "max-age=31536000"
"""Browsers come by TLS only from then on (RFC 6797), where that is how the world reaches this server."""
API = (
    accounts.routes,
    accounts.quota_routes,
    audit.routes,
    deliveries.routes,
    endpoint_checks.routes,
    endpoint_secrets.routes,
    endpoints.routes,
    esims.routes,
    esims.open_routes,
    events.routes,
    events.open_routes,
    health.routes,
    inbound.routes,
    inbound.inbound_routes,
    jobs.routes,
    keys.routes,
    notifications.routes,
    orders.routes,
    portal.routes,
    providers.routes,
    stream.routes,
    trace.routes,
)


def application(services: Services) -> Router:
    """Return the ASGI application whose handlers are given these services."""
    installation: Installation = services[Installation]
    only_tls = {"strict-transport-security": HSTS} if installation.public_url.startswith("https:") else {}
    return Router(table(), services, headers=only_tls, not_found=not_found)


@cache
def table() -> tuple[Route, ...]:
    """Return all routes. They hold nothing of a node."""
    api = [route for routes in API for route in routes.all]
    return (*api, *reference_routes(api), *page_routes())
