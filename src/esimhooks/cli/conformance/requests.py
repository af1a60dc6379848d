"""Requests that are signed here: a secret and an event come in, the headers and bytes of a request go out.

Pure but for random ids: the time is an argument. What is altered after signing is altered by `Sending.but`.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any, Literal, Self

import msgspec
from msgspec import Struct

from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.signing import MIN_SECRET_BYTES, InvalidSecretError, key_of, padded, signature
from esimhooks.version import __version__
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_at
from esimhooks.vocabulary.timestamps import timestamp as wire_time

Json = dict[str, Any]
Profile = Literal["standard", "hex"]


def signing_secret(text: str, *, profile: Profile = "standard") -> str:
    """Return a secret that a sender can sign with. Raises `InvalidSecretError` with a hint at what was given instead."""
    if not text.strip():
        raise InvalidSecretError("the secret is empty")
    if text != text.strip() or text[0] in "\"'":
        raise InvalidSecretError("there are spaces, a line break or quotes around the secret: give it alone")
    if profile == "hex":
        return text
    if text.startswith("whpk_"):
        raise InvalidSecretError("whpk_ is a receiver's public key: requests are signed with the whsk_ key of the pair")
    if text.startswith("whsk_"):
        signature(text, message_id="", timestamp=0, body=b"")
        return text
    if not text.startswith("whsec_"):
        raise InvalidSecretError(
            "expected the endpoint's secret, whsec_ and base64: `esimhooks endpoints secret` shows it"
        )
    secret = padded(text)
    if len(key_of(secret)) < MIN_SECRET_BYTES:
        raise InvalidSecretError(
            f"the secret has {len(key_of(secret))} bytes, a whsec_ secret has 24 or more: was it cut off?"
        )
    return secret


class Sending(Struct, frozen=True, kw_only=True):
    """One request. With `over_s` its body is sent in pieces over that many seconds."""

    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"
    over_s: float = 0.0

    def but(self, *, body: bytes | None = None, **headers: str | None) -> Self:
        """Return it altered after signing; `webhook_id="x"` sets a header, None leaves it out."""
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = tuple((name, value) for name, value in self.headers if name not in wanted)
        added = tuple((name, value) for name, value in wanted.items() if value is not None)
        return msgspec.structs.replace(self, headers=kept + added, body=self.body if body is None else body)


class Sender(Struct, frozen=True, kw_only=True):
    """Signs as the server does. `now` is Unix seconds; `brand` stands in the header names of the profile `hex`."""

    secret: str
    now: int
    profile: Profile = "standard"
    brand: str = "Esimhooks"

    def event(self, event: EventType = EventType.ACTIVATED, **fields: object) -> Json:
        """Return a new event made of the example, as decoded JSON, with these fields."""
        happened_at = datetime.fromtimestamp(self.now, UTC)
        made: Json = msgspec.json.decode(encode(example_at(event, happened_at)))
        return (
            made | {"id": text_of(Prefix.EVENT, new_id()), "timestamp": wire_time(happened_at), "mode": "test"} | fields
        )

    def send(self, event: Json, **how: Any) -> Sending:
        """Return a signed request with this event; see `send_bytes`."""
        return self.send_bytes(msgspec.json.encode(event), message_id=str(event["id"]), kind=str(event["event"]), **how)

    def send_bytes(
        self,
        body: bytes,
        *,
        message_id: str | None = None,
        kind: str = "esim.activated",
        sent_at: int | None = None,
        secret: str | None = None,
    ) -> Sending:
        """Return a signed request with any body; `sent_at` is Unix seconds, `secret` another one than the right one."""
        identity = message_id or text_of(Prefix.EVENT, new_id())
        timestamp, key = self.now if sent_at is None else sent_at, secret or self.secret
        common = {"content-type": "application/json", "user-agent": f"esimhooks/{__version__}", "webhook-attempt": "1"}
        if self.profile == "hex":
            signed = self._hex(body, message_id=identity, timestamp=timestamp, key=key, kind=kind)
        else:
            signed = {
                "webhook-id": identity,
                "webhook-timestamp": str(timestamp),
                "webhook-event": kind,
                "webhook-signature": signature(key, message_id=identity, timestamp=timestamp, body=body),
            }
        return Sending(headers=tuple((common | signed).items()), body=body)

    def _hex(self, body: bytes, *, message_id: str, timestamp: int, key: str, kind: str) -> dict[str, str]:
        name = f"x-{self.brand.lower()}"
        return {
            f"{name}-signature": "sha256=" + hmac.digest(key.encode(), body, hashlib.sha256).hex(),
            f"{name}-event": kind,
            f"{name}-event-id": message_id,
            f"{name}-timestamp": str(timestamp),
        }

    @property
    def signature_name(self) -> str:
        """The header that holds the signature."""
        return f"x-{self.brand.lower()}-signature" if self.profile == "hex" else "webhook-signature"
