"""What lets people in to the pages: a session for most of them, nothing for the sign-in page. Refusals are pages."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from esimhooks.server.api.access import audit_refusal, record_refusal
from esimhooks.server.api.auth import Authenticator, actor_of, require_permission
from esimhooks.server.api.http import MAX_BODY_BYTES, Answer, Request, Response, redirect
from esimhooks.server.api.installation import TO_ALL
from esimhooks.server.api.parameters import Provide
from esimhooks.server.api.router import Access, Route, problem_not_found
from esimhooks.server.api.transaction import Begin, carry_out, carry_out_form
from esimhooks.server.dashboard.render import show_error
from esimhooks.server.dashboard.session_user import admit, form_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.store.database import Session

MAX_ONCE = 64
"""So much of what names a form counts."""


class _Pages:
    """Pages for everybody, or for signed-in users."""

    provides: Mapping[Any, Provide] = {
        **TO_ALL,
        Actor: lambda request: actor_of(request.session_user.principal, request.services[Authenticator].peer(request)),
        Begin: lambda request: request.begin,
        Session: lambda request: request.db,
    }
    tenant: type | None = None

    def __init__(self, *, session: bool) -> None:
        self._session = session

    async def answer(self, request: Request, route: Route) -> Answer:
        if self._session and (to_sign_in := await admit(request)) is not None:
            return to_sign_in
        if self._session and (to_owner := _to_owner(request)) is not None:
            return to_owner
        if self._session:
            require_permission(request.session_user.principal, route.permission)
        route.takes.read_path(request)
        if self._session and request.method == "POST" and Session in route.takes.provided_types:
            once = (await form_of(request, max_field=MAX_BODY_BYTES)).get("once")
            if once:
                return await carry_out_form(request, route, f"{request.session_user.csrf} {once[:MAX_ONCE]}")
        return await carry_out(request, route)

    def refusal(self, request: Request, error: Exception) -> Response:
        record_refusal(request, error)
        return show_error(request, error)

    async def after(self, request: Request) -> None:
        if request.refused is not None:
            await audit_refusal(request)


OF_TENANTS = re.compile(r"/(?:esims|events|deliveries|endpoints|requeries)/((?:esim|evt|dlv|ep|rqy)_\w{26})(?:/|$)")
"""Addresses of pages about a row of some tenant."""


def _to_owner(request: Request) -> Response | None:
    """Return the way to a row's page for an operator who names no account: a merchant has sent the address as it sees it."""
    named = OF_TENANTS.match(request.path) if request.method == "GET" else None
    return redirect(f"/search?q={named[1]}") if named and request.session_user.tenant is None else None


async def not_found(request: Request) -> Response:
    """Answer for an address that nothing has: a person gets a page with a way back, a program the problem as JSON."""
    by_person = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
    if not by_person or request.path.startswith("/v1/"):
        return await problem_not_found(request)
    with suppress(Refused, NotNow):  # without a session the page lacks what a session shows
        await admit(request)
    return show_error(request, Refused.not_found("there is nothing at this address"))


BY_SESSION: Access = _Pages(session=True)
OPEN_PAGES: Access = _Pages(session=False)
