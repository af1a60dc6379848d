"""Who looks at a page: the cookie comes in, a `Visitor` goes out. Without one, the way leads to the sign-in page.

Whoever changes something must show the session's token against cross-site requests (CSRF), and come from this site.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from litestar import Response
from litestar.datastructures import Cookie
from litestar.response import Redirect
from msgspec import Struct

from esimhooks.server.api.auth import AnyRequest, Principal, actor_of, require_operator, tenant_of
from esimhooks.server.api.context import Context
from esimhooks.server.api.entry import check_path, read_body
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.store.audit import act_as

COOKIE = "esimhooks_session"
LONGEST_FIELD = 8192


class Visitor(Struct, frozen=True):
    """A person who has signed in. `tenant` None: an operator who has chosen no account; `account` is as asked for.

    `name` is that of the account that is looked at.
    """

    principal: Principal
    csrf: str
    tenant: Tenant | None
    account: str | None
    name: str | None = None

    @property
    def operator(self) -> bool:
        """Whether an operator looks."""
        return self.principal.tenant is None

    def link(self, path: str, **query: object) -> str:
        """Return the address of a page for the account that is looked at."""
        named = {name: str(value) for name, value in query.items() if value not in (None, "")}
        if self.operator and self.account and self.tenant:
            named |= {"account": self.account, "mode": self.tenant.mode.value}
        return f"{path}?{urlencode(named)}" if named else path


async def admit(request: AnyRequest, context: Context) -> Response[bytes] | None:
    """Find the visitor, or answer with the way to the sign-in page. Raises `Refused`."""
    check_path(request)
    token = request.cookies.get(COOKIE, "")
    principal = await _principal(request, context, token) if token else None
    if principal is None:
        return _to_sign_in(request)
    if request.method == "POST":
        check_origin(request)
        form = await form_of(request)
        shown = form.get("csrf") or request.headers.get("x-csrf-token") or ""
        if not hmac.compare_digest(shown.encode(), csrf_of(token).encode()):
            raise Refused.forbidden("this form is not of your session; reload the page and try again")
    account, mode = request.query_params.get("account"), request.query_params.get("mode")
    tenant = None if principal.tenant is None and not account else tenant_of(principal, account=account, mode=mode)
    name = (await context.operator.account(tenant.account_id)).name if tenant else None
    act_as(actor_of(principal, context.authenticator.peer(request)))
    request.state.visitor = Visitor(principal, csrf_of(token), tenant, account, name)
    return None


def visitor_of(request: AnyRequest) -> Visitor:
    """Return who looks at the page."""
    visitor: Visitor = request.state.visitor
    return visitor


def operator_of(request: AnyRequest) -> Visitor:
    """Return the operator who looks at the page. Raises `Refused` (403) for a merchant."""
    visitor = visitor_of(request)
    require_operator(visitor.principal)
    return visitor


async def form_of(request: AnyRequest) -> dict[str, str]:
    """Return the fields of a form; of several with one name, the values with commas. Raises `Refused`."""
    body = await read_body(request)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise Refused("expected a form", status=400, code="MALFORMED") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if len(value) > LONGEST_FIELD or any(one < " " and one not in "\r\n\t" for one in value) or "\x7f" in value:
            raise Refused.invalid(f"/{name[:40]}", f"expected at most {LONGEST_FIELD} characters of text")
        fields[name] = f"{fields[name]},{value}" if name in fields else value
    return fields


def check_origin(request: AnyRequest) -> None:
    """Raise `Refused` (403) for a request that another site's page has sent."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if site not in ("same-origin", "none") or foreign:
        raise Refused.forbidden("this request comes from another site")


def cookie(token: str, *, secure: bool) -> Cookie:
    """Return the cookie of a session; with no token, the one that ends it."""
    return Cookie(
        key=COOKIE,
        value=token,
        path="/",
        httponly=True,
        secure=secure,
        samesite="lax",
        max_age=None if token else 0,
    )


def csrf_of(token: str) -> str:
    """Return the session's token for forms; it tells nothing of the cookie."""
    return hashlib.sha256(b"csrf " + token.encode()).hexdigest()


async def _principal(request: AnyRequest, context: Context, token: str) -> Principal | None:
    by_person = "x-live" not in request.headers
    session = await context.sessions.find(token, by_person=by_person)
    if session is None:
        return None
    if session.admin_digest is not None and session.admin_digest != context.authenticator.admin_digest:
        return None
    try:
        return await context.authenticator.signed_in(session.lookup, request)
    except Refused:
        return None


def _to_sign_in(request: AnyRequest) -> Response[bytes]:
    if request.headers.get("hx-request"):  # a part of a page cannot show the form
        return Response(b"", status_code=200, headers={"hx-redirect": "/sign-in"})
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    to = "/sign-in" if request.method != "GET" or back == "/" else f"/sign-in?next={quote(back)}"
    return Redirect(to, status_code=303)
