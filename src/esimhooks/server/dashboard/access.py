"""What lets people in to the pages: a session for most of them, nothing for the sign-in page. Refusals are pages."""

from collections.abc import Mapping

from esimhooks.server.api.access import TO_ALL
from esimhooks.server.api.http import Answer, Request, Response
from esimhooks.server.api.parameters import Give
from esimhooks.server.api.router import Access, Route
from esimhooks.server.dashboard.render import show_error
from esimhooks.server.dashboard.visitor import admit


class _Pages:
    """Pages for everybody, or for who has signed in."""

    gives: Mapping[type, Give] = TO_ALL
    tenant: type | None = None

    def __init__(self, *, session: bool) -> None:
        self._session = session

    async def answer(self, request: Request, route: Route) -> Answer:
        if self._session and (to_sign_in := await admit(request, request.context)) is not None:
            return to_sign_in
        route.takes.read_path(request)
        return await route.call(request)

    def refusal(self, request: Request, error: Exception) -> Response:
        return show_error(request, error)

    async def after(self, request: Request) -> None:
        return None


BY_SESSION: Access = _Pages(session=True)
OPEN_PAGES: Access = _Pages(session=False)
