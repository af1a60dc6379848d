"""Signing in with an API key and out again. A new session for each; tries are limited by address."""

from time import monotonic

from litestar import Response, get, post
from litestar.response import Redirect

from esimhooks.server.api.auth import AnyRequest, actor_of
from esimhooks.server.api.entry import note_use
from esimhooks.server.api.given import InContext
from esimhooks.server.api.problems import when_to_return
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import COOKIE, check_origin, cookie, form_of, visitor_of
from esimhooks.server.domain.account import DashboardSession
from esimhooks.server.domain.errors import Refused
from esimhooks.server.store.audit import act_as


@get("/sign-in")
async def ask_key(request: AnyRequest) -> Response[str]:
    """Show the form."""
    return _form(request.query_params.get("next", ""))


@post("/sign-in")
async def sign_in(request: AnyRequest, context: InContext) -> Response[str]:
    """Begin a session for who holds the key."""
    check_origin(request)
    form = await form_of(request)
    back = form.get("next", "")
    try:
        context.sign_in_tries.take(context.authenticator.peer(request), now=monotonic())
        principal = await context.authenticator.holder_of(form.get("key", "").strip(), request)
    except Refused as refused:
        return _form(back, refused)
    admin = context.authenticator.admin_digest if principal.lookup is None else None
    if before := request.cookies.get(COOKIE):
        await context.sessions.end(before)
    act_as(actor_of(principal, context.authenticator.peer(request)))
    token = await context.sessions.open(DashboardSession(principal.lookup, admin), whose=principal.tenant)
    await note_use(context, principal)
    own = back.startswith("/") and not back.startswith(("//", "/\\"))
    secure = request.url.scheme == "https" or context.public_url.startswith("https:")
    return Redirect(back if own else "/", status_code=303, cookies=[cookie(token, secure=secure)])


@post("/sign-out")
async def sign_out(request: AnyRequest, context: InContext) -> Response[str]:
    """End the session, here and on all nodes."""
    visitor_of(request)
    await context.sessions.end(request.cookies.get(COOKIE, ""))
    return Redirect("/sign-in", status_code=303, cookies=[cookie("", secure=request.url.scheme == "https")])


def _form(back: str, refused: Refused | None = None) -> Response[str]:
    error = "" if refused is None else refused.detail.capitalize() + "."
    told = {"title": "Sign in", "next": back, "error": error}
    answer = page("sign_in.html", None, told, status=200 if refused is None else refused.status)
    if refused is not None:
        answer.headers.update(when_to_return(refused))
    return answer
