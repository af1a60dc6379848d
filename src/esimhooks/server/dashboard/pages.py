"""The pages put together: those that need a session, the sign-in page, and scripts and styles, which need none."""

from esimhooks.server.api.router import Route
from esimhooks.server.dashboard import (
    assets,
    audit,
    components,
    deliveries,
    endpoint_form,
    endpoints,
    esims,
    events,
    jobs,
    operators,
    overview,
    portal,
    providers,
    search,
    sign_in,
    system,
)

PAGES = (
    assets,
    audit,
    components,
    deliveries,
    endpoint_form,
    endpoints,
    esims,
    events,
    operators,
    overview,
    jobs,
    providers,
    search,
    sign_in,
    system,
)


def page_routes() -> list[Route]:
    """Return the routes of the dashboard."""
    return [*(route for page in PAGES for route in page.routes.all), *sign_in.open_routes.all, *portal.routes.all]
