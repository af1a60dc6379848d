"""A webhook's body without the credentials of its eSIM. Bytes in, bytes out; pure.

Every value that stays is copied byte for byte in its place, so that the same body always becomes the same bytes, with
every attempt and every version of this program.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

CREDENTIALS = frozenset({"ac", "qrCodeUrl", "shortUrl"})
"""Members of `data` with which a profile can be had."""

_members = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


def without_credentials(body: bytes) -> bytes:
    """Return the body of a webhook with the credentials left out of `data` and `changes`."""
    envelope = _members.decode(body)
    for place in ("data", "changes"):
        if place in envelope:
            left = _left(envelope[place])
            if left or place == "data":
                envelope[place] = Raw(_encode(left))
            else:
                del envelope[place]
    return _encode(envelope)


def _left(members: Raw) -> Mapping[str, Raw]:
    return {name: value for name, value in _members.decode(members).items() if name not in CREDENTIALS}
