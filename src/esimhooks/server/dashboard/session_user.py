"""Who looks at a page: the cookie comes in, a `SessionUser` goes out. Without one, the way leads to the sign-in page.

Whoever changes something must show the session's token against cross-site requests (CSRF), and come from this site.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.api.access import check_rate_limit
from esimhooks.server.api.auth import Authenticator, Principal, require_operator
from esimhooks.server.api.auth import tenant_of as tenant_of_principal
from esimhooks.server.api.http import MAX_BODY_BYTES, Request, Response, redirect
from esimhooks.server.api.installation import Installation
from esimhooks.server.dashboard.page_branding import DEFAULT, PageBranding, branding_for
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.portal import PortalRole, PortalSession
from esimhooks.server.domain.roles import MAY, Permission, Role
from esimhooks.server.manage.keys import find_session
from esimhooks.server.manage.portal import find_portal_session
from esimhooks.server.store import accounts
from esimhooks.server.store.database import Database

COOKIE = "esimhooks_session"
HOST_COOKIE = f"__Host-{COOKIE}"
"""Where TLS is spoken: no other host of the domain can set it."""
MAX_FIELD = 8192


class SessionUser(Struct, frozen=True):
    """A person who has signed in. `tenant` None: an operator who has chosen no account; `account` is the parameter.

    `name` is that of the account that is looked at.
    """

    principal: Principal
    csrf: str
    tenant: Tenant | None
    account: str | None
    name: str | None = None
    branding: PageBranding = DEFAULT
    framed: bool = False
    frame_origins: tuple[str, ...] = ()
    """Whose pages may show these in a frame, of a session that began in one."""

    @property
    def may_change(self) -> bool:
        """Whether the person may do more than look."""
        return Permission.SUPPORT in MAY[self.principal.role]

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


async def admit(request: Request) -> Response | None:
    """Find the user, or answer with the way to the sign-in page. Raises `Refused`."""
    token = token_of(request)
    admitted = await _find_signed_in(request, token) if token else None
    if admitted is None:
        return _to_sign_in(request)
    principal, portal_session = admitted
    if request.method == "POST":
        check_origin(request)
        form = await form_of(request, max_field=MAX_BODY_BYTES)
        shown = form.get("csrf") or request.headers.get("x-csrf-token") or ""
        if not hmac.compare_digest(shown.encode(), csrf_of(token).encode()):
            raise Refused.forbidden("this form is not of your session; reload the page and try again")
    account, mode = request.query.get("account"), request.query.get("mode")
    tenant = (
        None if principal.tenant is None and not account else tenant_of_principal(principal, account=account, mode=mode)
    )
    name, branding = await _name_and_branding(request, tenant)
    user = SessionUser(principal, csrf_of(token), tenant, account, name, branding)
    if portal_session:
        origins = request.services[Installation].frame_origins
        user = replace(user, framed=portal_session.framed, frame_origins=origins if portal_session.framed else ())
    request.session_user = user
    return None


def require_manager(user: SessionUser) -> None:
    """Raise `Refused` (403) for a person who may only look: secrets and activation codes let one do more than that."""
    if not user.may_change:
        raise Refused.forbidden("you may look at these pages, but not at secrets")


def session_user_of(request: Request) -> SessionUser:
    """Return who looks at the page."""
    user: SessionUser = request.session_user
    return user


def operator_of(request: Request) -> SessionUser:
    """Return the operator who looks at the page. Raises `Refused` (403) for a merchant."""
    user = session_user_of(request)
    require_operator(user.principal)
    return user


def tenant_of(user: SessionUser) -> Tenant:
    """Return the tenant of the page. Raises `Refused` (422) where an operator has chosen no account."""
    if user.tenant is None:
        raise Refused.invalid("/account", "choose one of the accounts first")
    return user.tenant


async def form_of(request: Request, *, max_bytes: int = MAX_BODY_BYTES, max_field: int = MAX_FIELD) -> dict[str, str]:
    """Return the fields of a form of `max_bytes` at most; of several with one name, the values with commas. Raises `Refused`."""
    body = await request.body(max_bytes)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise Refused("expected a form", status=400, code="MALFORMED") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if len(value) > max_field or any(one < " " and one not in "\r\n\t" for one in value) or "\x7f" in value:
            raise Refused.invalid(f"/{name[:40]}", f"expected at most {max_field} characters of text")
        fields[name] = f"{fields[name]},{value}" if name in fields else value
    return fields


def check_origin(request: Request) -> None:
    """Raise `Refused` (403) for a request that another site's page has sent."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if site not in ("same-origin", "none") or foreign:
        raise Refused.forbidden("this request comes from another site")


def token_of(request: Request) -> str:
    """Return the token of the session that the request shows, or an empty text."""
    return request.cookies.get(HOST_COOKIE if _is_secure(request) else COOKIE, "")


def cookie(request: Request, token: str, *, framed: bool = False) -> str:
    """Return the cookie of a session as a header sets it; with no token, the one that ends it.

    In a frame of another site a browser sends it only as `SameSite=None`, and keeps it apart for that site (Partitioned).
    """
    secure = _is_secure(request)
    name, end = HOST_COOKIE if secure else COOKIE, "" if token else "; Max-Age=0"
    site = "None; Secure; Partitioned" if framed else f"lax{'; Secure' if secure else ''}"
    return f"{name}={token}; Path=/; HttpOnly; SameSite={site}{end}"


def _is_secure(request: Request) -> bool:
    installation: Installation = request.services[Installation]
    return request.scheme == "https" or installation.public_url.startswith("https:")


def csrf_of(token: str) -> str:
    """Return the session's token for forms; it reveals nothing of the cookie."""
    return hashlib.sha256(b"csrf " + token.encode()).hexdigest()


async def _name_and_branding(request: Request, tenant: Tenant | None) -> tuple[str | None, PageBranding]:
    database: Database = request.services[Database]
    async with database.session() as db:
        name = found(await accounts.find(db, tenant.account_id), "account").name if tenant else None
        return name, await branding_for(db, tenant.account_id if tenant else None)


async def _find_signed_in(request: Request, token: str) -> tuple[Principal, PortalSession | None] | None:
    """Return who has signed in, with a key or by a portal link."""
    database: Database = request.services[Database]
    installation: Installation = request.services[Installation]
    authenticator: Authenticator = request.services[Authenticator]
    by_person = "x-live" not in request.headers
    async with database.session() as db:
        session = await find_session(db, token, by_person=by_person, now=installation.clock())
        if session is None:
            of_portal = await find_portal_session(db, token, by_person=by_person, now=installation.clock())
            if of_portal is None:
                return None
            check_rate_limit(request, f"portal {of_portal.id}")
            return _principal_of(of_portal), of_portal
    if session.admin_digest is not None and session.admin_digest != authenticator.admin_digest:
        return None
    try:
        principal = await authenticator.signed_in(session.lookup, request)
    except Refused:
        return None
    if principal.tenant is not None and principal.lookup is not None:
        check_rate_limit(request, principal.lookup)
    return principal, None


def _principal_of(session: PortalSession) -> Principal:
    role = Role.MANAGE if session.role is PortalRole.MANAGE else Role.READ
    return Principal(session.tenant, role, key_name="portal")


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("hx-request"):
        # A part of a page cannot show the form: the page leads there, or says why not.
        return Response(200, headers={"hx-redirect": _page_before(request)})
    if request.headers.get("sec-fetch-dest") == "iframe":  # in the page of another product, where nobody has a key
        raise Refused("your session has ended: reload the page around this one", status=401, code="UNAUTHENTICATED")
    own = request.path + (f"?{request.raw_query.decode('latin-1')}" if request.raw_query else "")
    back = own if request.method == "GET" else _page_before(request)
    return redirect("/sign-in" if back == "/" else f"/sign-in?next={quote(back)}")


def _page_before(request: Request) -> str:
    """Return the page of this server that sent a form or refreshes a part, as a path; the first page where none is named."""
    page = urlsplit(request.headers.get("hx-current-url") or request.headers.get("referer", ""))
    if page.netloc != request.headers.get("host") or not page.path.startswith("/") or page.path.startswith("//"):
        return "/"
    return page.path + (f"?{page.query}" if page.query else "")
