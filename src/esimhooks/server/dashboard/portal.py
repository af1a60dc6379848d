"""The way in by a portal link, and the pictures and the colour of a branding: open to all, as the sign-in page is."""

from datetime import datetime
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard.access import OPEN_PAGES
from esimhooks.server.dashboard.page_branding import branding_for
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import check_origin, cookie
from esimhooks.server.domain.account import digest_of
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.portal import INSTALLATION
from esimhooks.server.manage import portal as manage_portal
from esimhooks.server.store import portal
from esimhooks.server.store.database import Session

Found = TypeVar("Found")

NO_GOOD = "this link was used already, or has expired: ask for another one where you got it"
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Of a picture that is opened by itself, an SVG among them: nothing in it runs."""

routes = Routes(OPEN_PAGES)


@routes.get("/portal/{token}")
async def show_link(request: Request, db: Session, now: datetime, installation: Installation, token: str) -> Response:
    """Have a browser sign in by a link, at once: what fetches the link for a preview does not use it up.

    A link for a frame works only in a frame of an origin that may show it.
    """
    link = _found(await portal.find_link(db, digest_of(token), now=now))
    if link.framed:
        came = urlsplit(request.headers.get("referer", ""))
        _require_frame(request, allowed=not came.netloc or _origin(came) in installation.frame_origins)
    branding = await branding_for(db, link.tenant.account_id)
    origins = installation.frame_origins if link.framed else ()
    return page("portal.html", None, {"title": "Sign in"}, branding=branding, frame_origins=origins)


@routes.post("/portal/{token}")
async def enter(request: Request, db: Session, now: datetime, token: str) -> Response:
    """Sign a merchant's person in, once."""
    check_origin(request)
    if _found(await portal.find_link(db, digest_of(token), now=now)).framed:
        _require_frame(request)
    link, session = _found(await manage_portal.use_link(db, token, now=now))
    return redirect(link.page, set_cookie=cookie(request, session, framed=link.framed))


@routes.get("/branding/{owner}/{version}/{file}")
async def branding_file(db: Session, owner: str, version: str, file: str) -> Response:
    """Return a logo, a favicon or the colour of a branding; its address changes with it."""
    account_id: UUID = INSTALLATION if owner == "installation" else parse_id(Prefix.ACCOUNT, owner)
    stored = await portal.find_branding(db, account_id)
    branding = stored.branding
    known: dict[str, tuple[str | None, bytes | None]] = {
        "logo": (branding.logo_type, stored.logo),
        "favicon": (branding.favicon_type, stored.favicon),
        "style": ("text/css; charset=utf-8", _style(branding.accent) if branding.accent else None),
    }
    media_type, body = known.get(file, (None, None))
    if body is None or media_type is None or not version.isdigit():
        raise Refused.not_found("there is nothing at this address")
    headers = {
        "cache-control": "public, max-age=31536000, immutable",
        "x-content-type-options": "nosniff",
        "content-security-policy": PICTURE_POLICY,
    }
    return Response(200, body, media_type, headers)


def _style(accent: str) -> bytes:
    """Return the accent in both schemes: on a dark page it is lighter, and text on it dark."""
    light = f"color-mix(in srgb, {accent} 45%, white)"
    soft = f"light-dark(color-mix(in srgb, {accent} 10%, white), color-mix(in srgb, {accent} 30%, #0f1217))"
    return (
        f":root{{--accent:light-dark({accent},{light});--on-accent:light-dark(#fff,#0f1217);--soft:{soft}}}"
    ).encode()


def _found(link: Found | None) -> Found:
    if link is None:
        raise Refused(NO_GOOD, status=410, code="GONE")
    return link


def _origin(page: SplitResult) -> str:
    return f"{page.scheme}://{page.netloc}"


def _require_frame(request: Request, *, allowed: bool = True) -> None:
    """Raise `Refused` (403) unless a browser says that it opens the link in a frame, of an origin that may show it."""
    if not allowed or request.headers.get("sec-fetch-dest", "iframe") != "iframe":
        raise Refused.forbidden("this link works only inside the page that it was made for")
