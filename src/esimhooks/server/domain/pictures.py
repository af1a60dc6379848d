"""The address of our own picture of an activation code, for eSIMs whose provider has none. Pure: chance is an argument.

The address is kept as the eSIM's `qr_code_url`, and counts while it is that: who has it has the profile.
"""

import hmac
from uuid import UUID

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.update import Update

PATH = "/qr"
TOKEN_BYTES = 24
"""192 random bits: not to be guessed."""


def needs_picture(esim: Esim, update: Update) -> bool:
    """Whether the update brings an activation code that nobody has a picture of."""
    return update.ac is not None and update.qr_code_url is None and esim.qr_code_url is None


def own_address(public_url: str, esim_id: UUID, token: str) -> str:
    """Return the address of the eSIM's picture."""
    return f"{public_url}{_tail(esim_id, token)}"


def is_own_address(esim: Esim, token: str) -> bool:
    """Whether the token is that of the eSIM's picture; in constant time."""
    place = esim.qr_code_url or ""
    tail = _tail(esim.id, token)
    return hmac.compare_digest(place[-len(tail) :].encode(), tail.encode())


def _tail(esim_id: UUID, token: str) -> str:
    return f"{PATH}/{text_of(Prefix.ESIM, esim_id)}/{token}.png"
