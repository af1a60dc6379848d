"""The web application: the table of all routes. Assembled, not decided here."""

from functools import cache

from esimhooks.server.api import (
    accounts,
    audit,
    deliveries,
    endpoint_checks,
    endpoint_filters,
    endpoint_secrets,
    endpoints,
    esims,
    event_types,
    events,
    health,
    inbound,
    jobs,
    keys,
    notifications,
    orders,
    pictures,
    portal,
    provider_documents,
    providers,
    quotas,
    stream,
    test_events,
    trace,
)
from esimhooks.server.api.installation import Installation, Services
from esimhooks.server.api.reference import reference_routes
from esimhooks.server.api.router import Route, Router
from esimhooks.server.dashboard.pages import page_routes

HSTS = "max-age=31536000"
"""Browsers come by TLS only from then on (RFC 6797), where that is how the world reaches this server."""
API = (
    accounts,
    audit,
    deliveries,
    endpoint_checks,
    endpoint_filters,
    endpoint_secrets,
    endpoints,
    esims,
    event_types,
    events,
    health,
    inbound,
    keys,
    notifications,
    orders,
    pictures,
    portal,
    provider_documents,
    providers,
    quotas,
    jobs,
    stream,
    test_events,
    trace,
)


def application(services: Services) -> Router:
    """Return the ASGI application whose handlers are given these services."""
    installation: Installation = services[Installation]
    only_tls = {"strict-transport-security": HSTS} if installation.public_url.startswith("https:") else {}
    return Router(table(), services, headers=only_tls)


@cache
def table() -> tuple[Route, ...]:
    """Return all routes. They hold nothing of a node."""
    api = [route for room in API for route in room.routes.all]
    of_the_api = [*api, *event_types.open_routes.all, *pictures.open_routes.all, *inbound.inbound_routes.all]
    return (*of_the_api, *reference_routes(of_the_api), *page_routes())
