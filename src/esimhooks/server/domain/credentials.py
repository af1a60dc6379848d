"""The credentials of an eSIM: webhooks without them, and the address of our picture of an activation code. Pure.

A body without credentials keeps every other value byte for byte in its place, so that the same body always becomes the
same bytes. The address of a picture holds a random token, and is good for as long as it is the eSIM's `qr_code_url`.
"""

import hmac
from collections.abc import Mapping
from uuid import UUID

import msgspec
from msgspec import Raw

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, text_of

CREDENTIALS = frozenset({"ac", "qrCodeUrl", "shortUrl"})
"""Members of `data` with which a profile can be had."""

_members = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


def without_credentials(body: bytes) -> bytes:
    """Return the body of a webhook with the credentials left out of `data` and `changes`."""
    envelope = _members.decode(body)
    for member in ("data", "changes"):
        if member in envelope:
            left = _without_credentials(envelope[member])
            if left or member == "data":
                envelope[member] = Raw(_encode(left))
            else:
                del envelope[member]
    return _encode(envelope)


def _without_credentials(members: Raw) -> Mapping[str, Raw]:
    return {name: value for name, value in _members.decode(members).items() if name not in CREDENTIALS}


PATH = "/qr"
TOKEN_BYTES = 24
"""192 random bits: not to be guessed."""


def own_address(public_url: str, esim_id: UUID, token: str) -> str:
    """Return the address of the eSIM's picture."""
    return f"{public_url}{_tail(esim_id, token)}"


def is_own_address(esim: Esim, token: str) -> bool:
    """Whether the token is that of the eSIM's picture; in constant time."""
    address = esim.qr_code_url or ""
    tail = _tail(esim.id, token)
    return hmac.compare_digest(address[-len(tail) :].encode(), tail.encode())


def _tail(esim_id: UUID, token: str) -> str:
    return f"{PATH}/{text_of(Prefix.ESIM, esim_id)}/{token}.png"
