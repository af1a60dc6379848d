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
    event_types,
    events,
    health,
    inbound,
    jobs,
    notifications,
    orders,
    pictures,
    providers,
    stream,
    test_events,
    trace,
)
from esimhooks.server.api.installation import Services
from esimhooks.server.api.reference import reference_routes
from esimhooks.server.api.router import Route, Router
from esimhooks.server.dashboard.pages import page_routes

API = (
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
    jobs,
    stream,
    test_events,
    trace,
)


def application(services: Services) -> Router:
    """Return the ASGI application whose handlers are given these services."""
    return Router(table(), services)


@cache
def table() -> tuple[Route, ...]:
    """Return all routes. They hold nothing of a node."""
    api = [route for room in API for route in room.routes.all]
    of_the_api = [*api, *event_types.open_routes.all, *pictures.open_routes.all, *inbound.inbound_routes.all]
    return (*of_the_api, *reference_routes(of_the_api), *page_routes())
