"""How pages look to a user: name, logo, colour and favicon, and the language.

The account's branding comes first, then the installation's; what neither says is ours.
"""

from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.portal import INSTALLATION
from esimhooks.server.store import portal
from esimhooks.server.store.database import Session

PICTURES = {"logo": "logo_type", "favicon": "favicon_type"}


class PageBranding(Struct, frozen=True, kw_only=True):
    """The look of the pages. Addresses are paths on this server; `style` sets the accent colour."""

    name: str = "esimhooks"
    own: bool = False
    """Whether the name is the operator's own."""
    logo: str | None = None
    favicon: str | None = None
    style: str | None = None
    language: str = "en"


DEFAULT = PageBranding()
NEUTRAL = PageBranding(name="Webhooks", own=True)
"""Of errors that are shown without a session: they may stand in another company's product."""


async def branding_for(db: Session, account_id: UUID | None) -> PageBranding:
    """Return how pages look for an account; for the installation without one."""
    found: dict[str, str] = {}
    for owner, branding, updated_at in await portal.brandings_for(db, account_id):
        name = "installation" if owner == INSTALLATION else text_of(Prefix.ACCOUNT, owner)
        base = f"/branding/{name}/{int(updated_at.timestamp() * 1000)}"
        said = {"name": branding.name, "language": branding.language}
        said |= {file: f"{base}/{file}" for file, kind in PICTURES.items() if getattr(branding, kind)}
        said |= {"style": f"{base}/style"} if branding.accent else {}
        found = {one: text for one, text in said.items() if text is not None} | found
    return PageBranding(
        name=found.get("name", DEFAULT.name),
        own="name" in found,
        logo=found.get("logo"),
        favicon=found.get("favicon"),
        style=found.get("style"),
        language=found.get("language", DEFAULT.language),
    )
