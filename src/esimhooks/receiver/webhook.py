"""`Webhook`: raw body and headers of a request come in, a verified `Event` goes out.

Everything is compared before anything is believed. Whatever comes in, no other error than
`WebhookVerificationError` goes out. It does not know whether an event came before: that is the inbox's.
"""

import base64
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from esimhooks.receiver.errors import VerificationFailure, WebhookVerificationError
from esimhooks.receiver.event import Event, event_of
from esimhooks.receiver.headers import Headers, texts_by_name
from esimhooks.signing import (
    InvalidSecretError,
    VerifyingKey,
    hex_signature,
    is_hex_signed,
    is_signed,
    padded,
    signature_header,
    signed_bytes,
    verifying_key,
)

TOLERANCE_S = 300
"""How far the time of an attempt may be from now, both ways; the same in every Standard Webhooks library."""

Profile = Literal["standard", "standard-asymmetric", "hex"]
Secret = str | bytes
Body = bytes | bytearray | memoryview | str


class Message(Struct, frozen=True, kw_only=True):
    """A verified request, its body untouched. `id` is empty where the profile has none; `sent_at` is aware UTC."""

    id: str
    sent_at: datetime
    body: bytes

    def __repr__(self) -> str:
        """Return the little that may stand in a log."""
        return f"Message(id={self.id!r}, {len(self.body)} bytes)"


class Webhook:
    """Verifies webhooks with one secret, or several during a rotation. Safe to share between threads.

    `secret`: `whsec_` secrets (`v1`), `whpk_` public keys (`v1a`, needs the extra `asymmetric`), raw keys as bytes, or a
    list of these. `profile` is the one of the endpoint; the two standard ones are distinguished by the kind of key.
    For `hex`, `brand` is the word in the headers' names, `X-<brand>-Signature`, and the text of the secret is the key.
    `tolerance_s` limits the age of an attempt, both ways; `clock` returns Unix seconds.

    Raises `InvalidSecretError`, `MissingExtraError` and `ValueError`.
    """

    def __init__(
        self,
        secret: Secret | Sequence[Secret],
        *,
        profile: Profile = "standard",
        brand: str | None = None,
        tolerance_s: float = TOLERANCE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = [_alone(one) for one in _secrets(secret)]
        if profile not in {"standard", "standard-asymmetric", "hex"}:
            raise ValueError(f"no such profile: {profile!r}")
        if (profile == "hex") != bool(brand):
            raise ValueError("the hex profile, and no other, needs the brand that stands in the names of its headers")
        self._brand = (brand or "").lower()
        self._keys: list[VerifyingKey] = []
        for one in self._secrets:
            if self._brand:
                hex_signature(one, b"")
            else:
                self._keys.append(verifying_key(_base64_text(one) if isinstance(one, str) else one))
        self._tolerance_s = tolerance_s
        self._clock = clock

    def verify(self, body: Body, headers: Headers) -> Event:
        """Return the event of a request whose signature, time and body are right. `body` is the raw body, as it came.

        Raises `WebhookVerificationError`, whose `reason` says what is wrong; nothing else, whatever comes in.
        """
        message = self.verify_signature(body, headers)
        # In the hex profile the id in the header is not signed: anybody could send an event again under another id.
        return event_of(message.body, message_id=message.id if self._keys else None, sent_at=message.sent_at)

    def verify_signature(self, body: Body, headers: Headers) -> Message:
        """Return the message of a request whose signature and time are right; its body may be anything.

        For senders whose payload is not an event. Raises `WebhookVerificationError` and nothing else.
        """
        raw = _bytes(body)
        texts = texts_by_name(headers)
        prefix = f"x-{self._brand}-" if self._brand else _prefix(texts)
        timestamp = _only(texts, prefix + "timestamp")
        signatures = " ".join(_all(texts, prefix + "signature"))
        if self._keys:
            message_id = _only(texts, prefix + "id")
            signed = signed_bytes(_ascii(message_id, prefix + "id"), _ascii(timestamp, prefix + "timestamp"), raw)
            right = is_signed(signatures, self._keys, signed)
            undecoded = not right and self._is_undecoded(raw, signatures, message_id, timestamp)
        else:
            message_id = next(iter(texts.get(prefix + "event-id", ())), "")
            right = is_hex_signed(_ascii(signatures, prefix + "signature").decode(), self._secrets, raw)
            undecoded = False
        sent_at = self._in_time(timestamp, prefix + "timestamp")
        if undecoded:
            raise WebhookVerificationError(
                VerificationFailure.BODY_NOT_BYTES,
                "the body is still base64, as API gateways hand over binary bodies: decode it where isBase64Encoded is true",
            )
        if not right:
            raise WebhookVerificationError(
                VerificationFailure.NO_MATCHING_SIGNATURE,
                "no signature matches: another secret, or not the bytes that were sent",
            )
        return Message(id=message_id, sent_at=sent_at, body=raw)

    def sign(self, body: bytes, *, message_id: str, timestamp: int | None = None) -> dict[str, str]:
        """Return the three standard headers of a request as a sender would make them, for tests of your receiver.

        `timestamp` is Unix seconds, now where it is left out. Raises `InvalidSecretError` for public keys, which cannot
        sign, and for raw keys.
        """
        if not self._keys or not all(isinstance(one, str) and not one.startswith("whpk_") for one in self._secrets):
            raise InvalidSecretError("only whsec_ secrets can sign here")
        seconds = int(self._clock()) if timestamp is None else timestamp
        secrets = [padded(one) for one in self._secrets if isinstance(one, str)]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": signature_header(secrets, message_id=message_id, timestamp=seconds, body=body),
        }

    def _is_undecoded(self, raw: bytes, signatures: str, message_id: str, timestamp: str) -> bool:
        """Whether the signature is right for what the body is the base64 of."""
        try:
            decoded = base64.b64decode(raw, validate=True)
        except ValueError:
            return False
        return is_signed(signatures, self._keys, signed_bytes(message_id.encode(), timestamp.encode(), decoded))

    def _in_time(self, text: str, name: str) -> datetime:
        if not (text.isascii() and text.isdigit() and len(text) <= 11):
            raise WebhookVerificationError(VerificationFailure.MALFORMED_HEADER, f"{name} is not Unix seconds")
        late_s = self._clock() - int(text)
        if late_s > self._tolerance_s:
            raise WebhookVerificationError(
                VerificationFailure.TIMESTAMP_TOO_OLD, f"sent {late_s:.0f} s ago; {self._tolerance_s} s are allowed"
            )
        if late_s < -self._tolerance_s:
            raise WebhookVerificationError(
                VerificationFailure.TIMESTAMP_TOO_NEW, f"sent {-late_s:.0f} s from now: one of the clocks is wrong"
            )
        return datetime.fromtimestamp(int(text), UTC)


def _secrets(secret: object) -> list[Secret]:
    """Return the secrets that were given. Raises `InvalidSecretError`."""
    several = secret if isinstance(secret, Iterable) and not isinstance(secret, str | bytes) else [secret]
    secrets: list[Secret] = []
    for one in several:
        if one is None:
            raise InvalidSecretError("the secret is None: is the environment variable set that it comes from?")
        if not isinstance(one, str | bytes):
            raise InvalidSecretError(f"expected a secret as text or bytes, not as {type(one).__name__}")
        secrets.append(one)
    if not secrets:
        raise InvalidSecretError("at least one secret is needed")
    return secrets


def _alone(secret: Secret) -> Secret:
    """Return a text without the white space and the byte order mark that files of secrets have around it."""
    return secret if isinstance(secret, bytes) else secret.strip().removeprefix("\ufeff")


def _base64_text(secret: str) -> str:
    """Return a secret that may be base64. Raises `InvalidSecretError` with a hint at what was given instead."""
    if secret[:1] in {'"', "'"} or secret[-1:] in {'"', "'"}:
        raise InvalidSecretError("the secret has quotation marks around it: remove them where it is set")
    if any(character.isspace() or character in "\u200b\ufeff" for character in secret):
        raise InvalidSecretError(
            "the secret has white space or a line break in it: it was wrapped or holds more than one"
        )
    return secret


def _bytes(body: Body) -> bytes:
    try:
        return body.encode() if isinstance(body, str) else bytes(memoryview(body))
    except (TypeError, ValueError) as error:
        raise WebhookVerificationError(
            VerificationFailure.BODY_NOT_BYTES, "pass the raw body as it came, not what a parser has made of it"
        ) from error


def _prefix(texts: dict[str, list[str]]) -> str:
    """Return how the names of the headers begin: Svix's senders have names of their own."""
    return "svix-" if "svix-signature" in texts and "webhook-signature" not in texts else "webhook-"


def _all(texts: dict[str, list[str]], name: str) -> list[str]:
    values = [value for value in texts.get(name, ()) if value]
    if not values:
        raise WebhookVerificationError(VerificationFailure.MISSING_HEADER, f"{name} is missing")
    return values


def _only(texts: dict[str, list[str]], name: str) -> str:
    values = _all(texts, name)
    if len(set(values)) > 1:
        raise WebhookVerificationError(VerificationFailure.MALFORMED_HEADER, f"{name} stands there more than once")
    return values[0]


def _ascii(text: str, name: str) -> bytes:
    if not (text.isascii() and text.isprintable()):
        raise WebhookVerificationError(VerificationFailure.MALFORMED_HEADER, f"{name} is not plain ASCII")
    return text.encode()
