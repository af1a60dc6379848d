"""How pages look to a visitor: whose name, logo, colour and favicon stand on them, and in which language."""

from msgspec import Struct


class Look(Struct, frozen=True, kw_only=True):
    """The look of the pages. Addresses are paths on this server; `style` sets the accent colour."""

    name: str = "esimhooks"
    own: bool = False
    """Whether the name is the operator's own."""
    logo: str | None = None
    favicon: str | None = None
    style: str | None = None
    language: str = "en"


OURS = Look()
