"""Portal links and branding: how an operator lets its merchants in to these pages, inside its own product."""

import base64
import binascii
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import AccountId
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.lists import Listed
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.portal import (
    INSTALLATION,
    Branding,
    Language,
    PortalLink,
    PortalRole,
    picture_type,
)
from esimhooks.server.domain.validation import END, Name
from esimhooks.server.manage import portal as manage_portal
from esimhooks.server.store import accounts, portal
from esimhooks.server.store.database import Session
from esimhooks.server.store.portal import StoredBranding
from esimhooks.vocabulary.statuses import Mode
from esimhooks.vocabulary.timestamps import timestamp

Page = Annotated[str, Meta(pattern=rf"^/[!-~]*{END}", max_length=500)]
Picture = Annotated[str, Meta(max_length=90_000, description="a PNG or SVG of at most 64 KiB, in base64")]
Colour = Annotated[str, Meta(pattern=rf"^#[0-9a-fA-F]{{6}}{END}")]


class PortalLinkBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Who is let in, and how. `expiresIn` is in seconds; `frame` is for a frame in your own page."""

    mode: Mode
    role: PortalRole = PortalRole.MANAGE
    page: Page = "/"
    expires_in: Annotated[int, Meta(ge=60, le=86_400)] = 900
    frame: bool = False


class PortalLinkView(Struct, rename="camel"):
    """A link that signs in once, whoever opens it; it is shown only here."""

    url: str
    expires_at: str


class PortalSessionView(Struct, rename="camel", kw_only=True):
    """A session started by a link."""

    id: str
    mode: Mode
    role: PortalRole
    frame: bool
    created_at: str
    last_seen_at: str


class BrandingBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Branding to change. Absent fields stay, null resets a field to the installation's value or the default."""

    name: Name | UnsetType | None = UNSET
    accent: Colour | UnsetType | None = UNSET
    language: Language | UnsetType | None = UNSET
    logo: Picture | UnsetType | None = UNSET
    favicon: Picture | UnsetType | None = UNSET


class BrandingView(Struct, rename="camel", kw_only=True):
    """Branding of the pages."""

    name: str | None
    accent: str | None
    language: str | None
    has_logo: bool
    has_favicon: bool


routes = Routes(BY_KEY, operators=True)


@routes.post("/v1/accounts/{account_id}/portal-links", example={"mode": "test", "role": "view", "expiresIn": 300})
async def create_portal_link(
    db: Session, actor: Actor, now: datetime, installation: Installation, account_id: AccountId, data: PortalLinkBody
) -> PortalLinkView:
    """Create a link that signs a merchant's user in once, to exactly this account and mode, without a key."""
    if data.frame and not installation.frame_origins:
        raise Refused.invalid("/frame", "expected false: ESIMHOOKS_FRAME_ORIGINS names no origin that may show frames")
    link = PortalLink(
        tenant=Tenant(account_id, data.mode),
        role=data.role,
        page=data.page,
        framed=data.frame,
        expires_at=now + timedelta(seconds=data.expires_in),
    )
    token = await manage_portal.create_link(db, actor, link, now=now)
    return PortalLinkView(f"{installation.public_url}/portal/{token}", timestamp(link.expires_at))


@routes.get("/v1/accounts/{account_id}/portal-sessions")
async def list_portal_sessions(db: Session, now: datetime, account_id: AccountId) -> Listed[PortalSessionView]:
    """List active sessions started by links, newest first, up to 100."""
    rows = await manage_portal.sessions_of(db, account_id, now=now)
    sessions = [
        view_of(PortalSessionView, row, mode=row.tenant.mode, frame=row.framed, last_seen_at=timestamp(row.seen_at))
        for row in rows
    ]
    return Listed(sessions, None)


@routes.delete("/v1/accounts/{account_id}/portal-sessions/{session_id}")
async def end_portal_session(db: Session, actor: Actor, account_id: AccountId, session_id: str) -> None:
    """End a portal session at once."""
    await manage_portal.end_session(db, actor, account_id, session_id)


@routes.get("/v1/branding")
async def show_branding(db: Session) -> BrandingView:
    """Show the branding of the installation."""
    return _branding(await portal.find_branding(db, INSTALLATION))


@routes.patch("/v1/branding", example={"name": "Acme Travel", "accent": "#7a1f5c", "language": "de"})
async def change_branding(db: Session, actor: Actor, now: datetime, data: BrandingBody) -> BrandingView:
    """Change the branding of the installation."""
    wanted = _merge(await portal.find_branding(db, INSTALLATION), data)
    return _branding(await manage_portal.change_branding(db, actor, INSTALLATION, wanted, now=now))


@routes.get("/v1/accounts/{account_id}/branding")
async def show_account_branding(db: Session, account_id: AccountId) -> BrandingView:
    """Show the branding of an account, where it differs from the installation's."""
    found(await accounts.find(db, account_id), "account")
    return _branding(await portal.find_branding(db, account_id))


@routes.patch("/v1/accounts/{account_id}/branding", example={"name": "Acme Travel", "accent": "#7a1f5c"})
async def change_account_branding(
    db: Session, actor: Actor, now: datetime, account_id: AccountId, data: BrandingBody
) -> BrandingView:
    """Change the branding of an account."""
    wanted = _merge(await portal.find_branding(db, account_id), data)
    return _branding(await manage_portal.change_branding(db, actor, account_id, wanted, now=now))


def _merge(before: StoredBranding, data: BrandingBody) -> StoredBranding:
    old = before.branding
    logo = before.logo if isinstance(data.logo, UnsetType) else _picture("/logo", data.logo)
    favicon = before.favicon if isinstance(data.favicon, UnsetType) else _picture("/favicon", data.favicon)
    branding = Branding(
        name=old.name if isinstance(data.name, UnsetType) else data.name,
        accent=old.accent if isinstance(data.accent, UnsetType) else data.accent,
        language=old.language if isinstance(data.language, UnsetType) else data.language,
        logo_type=_type("/logo", logo),
        favicon_type=_type("/favicon", favicon),
    )
    return StoredBranding(branding=branding, logo=logo, favicon=favicon)


def _picture(pointer: str, text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise Refused.invalid(pointer, "expected base64") from None


def _type(pointer: str, picture: bytes | None) -> str | None:
    try:
        return None if picture is None else picture_type(picture)
    except Refused as refused:
        raise Refused.invalid(pointer, refused.errors[0].detail) from None


def _branding(stored: StoredBranding) -> BrandingView:
    return view_of(
        BrandingView, stored.branding, has_logo=stored.logo is not None, has_favicon=stored.favicon is not None
    )
