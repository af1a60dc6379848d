"""Signing in with an API key and out again. A new session for each, which may do what the key may."""

from datetime import datetime

from esimhooks.server.api.access import record_key_use, record_refusal
from esimhooks.server.api.auth import Authenticator, actor_of, require_permission
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.problems import headers_of
from esimhooks.server.api.router import Routes
from esimhooks.server.api.transaction import Begin
from esimhooks.server.dashboard.access import BY_SESSION, OPEN_PAGES
from esimhooks.server.dashboard.page_branding import PageBranding, branding_for
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import check_origin, cookie, form_of, session_user_of, token_of
from esimhooks.server.domain.account import DashboardSession
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.roles import Permission
from esimhooks.server.manage.keys import end_session, open_session
from esimhooks.server.observe.refused import RefusalKind
from esimhooks.server.store.database import Session

MAX_BYTES = 16_384
"""Of a form that strangers send."""

routes = Routes(BY_SESSION)
open_routes = Routes(OPEN_PAGES)


@open_routes.get("/sign-in")
async def sign_in_form(request: Request, db: Session) -> Response:
    """Show the form."""
    branding = await branding_for(db, None)
    return _form(request.query.get("next", ""), branding, ended=bool(token_of(request)))


@open_routes.post("/sign-in")
async def sign_in(
    request: Request,
    begin: Begin,
    now: datetime,
    authenticator: Authenticator,
) -> Response:
    """Begin a session for the holder of the key."""
    check_origin(request)
    form = await form_of(request, max_bytes=MAX_BYTES)
    back = form.get("next", "")
    try:
        principal = await authenticator.holder_of(form.get("key", "").strip(), request, what=RefusalKind.SIGN_IN)
        require_permission(principal, Permission.READ)
    except Refused as refused:
        record_refusal(request, refused)
        async with begin() as db:
            return _form(back, await branding_for(db, None), refused)
    admin = authenticator.admin_digest if principal.lookup is None else None
    actor = actor_of(principal, authenticator.peer(request))
    async with begin() as db:
        if before := token_of(request):
            await end_session(db, before)
        session = DashboardSession(principal.lookup, admin)
        token = await open_session(db, actor, session, owner=principal.tenant, now=now)
    await record_key_use(request.services, principal)
    own = back.startswith("/") and not back.startswith(("//", "/\\"))
    return redirect(back if own else "/", set_cookie=cookie(request, token))


@routes.post("/sign-out")
async def sign_out(request: Request, db: Session) -> Response:
    """End the session, here and on all nodes."""
    framed = session_user_of(request).framed
    await end_session(db, token_of(request))
    return redirect("/sign-in", set_cookie=cookie(request, "", framed=framed))


def _form(back: str, branding: PageBranding, refused: Refused | None = None, *, ended: bool = False) -> Response:
    error = "" if refused is None else refused.detail.capitalize() + "."
    values = {"title": "Sign in", "next": back, "error": error, "ended": ended}
    answer = page("sign_in.html", None, values, status=200 if refused is None else refused.status, branding=branding)
    if refused is not None:
        answer.headers.update(headers_of(refused))
    return answer
