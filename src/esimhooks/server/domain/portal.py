"""The portal: who a link signs in, and how an operator's pages look to its merchants. Pure.

A look comes from the account's branding where it says something, else from the installation's, else it is ours.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused

INSTALLATION = UUID(int=0)
"""Stands for the account where the branding is that of the installation."""
MAX_PICTURE_BYTES = 65_536
Language: TypeAlias = Literal["en", "de", "es"]
MIN_CONTRAST = 4.5
"""Of the accent colour on white, as WCAG 2.1 asks for text (1.4.3)."""
ACTIVE_SVG = re.compile(
    rb"<\s*(script|foreignobject|iframe|object|embed|use|image|animate|set|style|!doctype|!entity)|\son\w+\s*=|(href|src)\s*="
    rb"|javascript:|url\s*\(",
    re.IGNORECASE,
)


class PortalRole(StrEnum):
    """What a person of a portal may do."""

    VIEW = "view"
    MANAGE = "manage"


class PortalLink(Struct, frozen=True, kw_only=True):
    """What a link signs in to; `page` is where it leads, `framed` whether it is for a frame."""

    tenant: Tenant
    role: PortalRole
    page: str
    framed: bool
    expires_at: datetime


class PortalSession(Struct, frozen=True, kw_only=True):
    """A session that a link began. `id` names it to the operator and opens nothing."""

    id: str
    tenant: Tenant
    role: PortalRole
    framed: bool
    created_at: datetime
    seen_at: datetime


class Branding(Struct, frozen=True, kw_only=True):
    """How pages look; None leaves it to the next. `logo_type` and `favicon_type` are media types of stored pictures."""

    name: str | None = None
    accent: str | None = None
    language: str | None = None
    logo_type: str | None = None
    favicon_type: str | None = None


def picture_type(picture: bytes) -> str:
    """Return the media type of a PNG, or of an SVG that draws and does nothing else. Raises `Refused` (422)."""
    if len(picture) > MAX_PICTURE_BYTES:
        raise Refused.invalid("", f"expected at most {MAX_PICTURE_BYTES // 1024} KiB")
    if picture.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if b"<svg" not in picture[:1024]:
        raise Refused.invalid("", "expected a PNG or an SVG")
    if ACTIVE_SVG.search(picture):
        raise Refused.invalid("", "expected a static SVG without scripts, styles, links, animations or entities")
    return "image/svg+xml"


def require_readable(accent: str) -> None:
    """Raise `Refused` (422) for an accent colour (`#rrggbb`) that cannot be read on white, or white on it."""
    contrast = 1.05 / (_luminance(accent) + 0.05)
    if contrast < MIN_CONTRAST:
        detail = f"expected a darker colour: its contrast to white is {contrast:.1f}, at least {MIN_CONTRAST} is needed"
        raise Refused.invalid("/accent", detail)


def _luminance(colour: str) -> float:
    """Return the relative luminance of a colour, 0 to 1 (WCAG 2.1)."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
