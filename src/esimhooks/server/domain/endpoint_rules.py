"""What an endpoint may be configured with (headers, trusted authorities), and which events it wants. Pure.

Text comes in; what was expected instead goes out. No header may frame the request or be one that the server sets; an
authority is a certificate (PEM) that may sign others and has not expired.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from esimhooks.server.domain.endpoint import MAX_PEM, EndpointConfig
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import AnyEventType
from esimhooks.server.domain.validation import escaped
from esimhooks.vocabulary.events import EventType

MAX_TRUSTED_CAS = 5

Value = TypeVar("Value", str, str | None)


class TrustedCa(Struct, frozen=True):
    """One authority: its subject (RFC 4514), when its certificate ends, aware UTC, and the SHA-256 of the certificate."""

    subject: str
    expires_at: datetime
    fingerprint: str


class InvalidCertificateError(Exception):
    """The text is not what was expected; the message says what was."""


def parse_cas(pem: str) -> tuple[TrustedCa, ...]:
    """Return the trusted CAs in the text. Raises `InvalidCertificateError` where it is no PEM of certificates."""
    return tuple(_trusted_ca(one) for one in _certificates(pem))


def validated_cas(pem: str, *, now: datetime) -> str:
    """Return the certificates as PEM, without what stood around them.

    Raises `InvalidCertificateError` for what cannot vouch for receivers `now` (aware UTC): no authority, expired, or too many.
    """
    if len(pem) > MAX_PEM:
        raise InvalidCertificateError(f"expected at most {MAX_PEM} characters")
    certificates = _certificates(pem)
    if len(certificates) > MAX_TRUSTED_CAS:
        raise InvalidCertificateError(f"expected at most {MAX_TRUSTED_CAS} certificates")
    for one in certificates:
        subject = one.subject.rfc4514_string()
        if not _may_sign(one):
            raise InvalidCertificateError(
                f"expected the certificate of an authority: that of {subject} may not sign others"
            )
        if one.not_valid_after_utc <= now:
            raise InvalidCertificateError(f"expected certificates that are valid: that of {subject} has expired")
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def _certificates(pem: str) -> list[x509.Certificate]:
    if "PRIVATE KEY" in pem:
        raise InvalidCertificateError("expected certificates only: there is a private key in the text")
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise InvalidCertificateError("expected PEM: -----BEGIN CERTIFICATE----- and so on") from None


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _trusted_ca(certificate: x509.Certificate) -> TrustedCa:
    return TrustedCa(
        certificate.subject.rfc4514_string(), certificate.not_valid_after_utc, certificate.fingerprint(SHA256()).hex()
    )


MAX_HEADERS = 20
MAX_NAME = 100
MAX_VALUE = 2000

FRAMING = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
OURS = frozenset({"content-type", "cookie", "date", "forwarded", "range", "traceparent", "tracestate", "user-agent"})
PREFIXES = ("if-", "proxy-", "sec-", "svix-", "webhook-", "x-forwarded-")

_name = re.compile(rf"[a-z0-9!#$%&'*+.^_`|~-]{{1,{MAX_NAME}}}")
_value = re.compile(rf"[\x21-\x7e]([\x20-\x7e]{{0,{MAX_VALUE - 2}}}[\x21-\x7e])?")


def header_error(name: str, value: str) -> str | None:
    """Return what was expected of a header instead, None where it may be sent. `name` is in lower case."""
    if not _name.fullmatch(name):
        return f"expected the name of a header, of at most {MAX_NAME} letters, digits and hyphens"
    if name in FRAMING or name in OURS or name.startswith(PREFIXES):
        return "expected another header: this one frames the request or is set by the server"
    if not _value.fullmatch(value):
        return f"expected 1 to {MAX_VALUE} printable ASCII characters, with no space at either end"
    return None


def wants(event_types: Sequence[str] | None, event: AnyEventType) -> bool:
    """Return whether a subscription covers the event. None means all; `esim.*` all that begin with `esim.`."""
    if event_types is None:
        return True
    return any(
        event.value == pattern or (pattern.endswith(".*") and event.value.startswith(pattern[:-1]))
        for pattern in event_types
    )


def require_valid(config: EndpointConfig) -> None:
    """Raise `Refused` (422) for headers that may not be sent and for types that no event has."""
    if len(config.headers) > MAX_HEADERS:
        raise Refused.invalid("/headers", f"expected at most {MAX_HEADERS} headers")
    for name, value in config.headers.items():
        if (why := header_error(name, value)) is not None:
            raise Refused.invalid(f"/headers/{escaped(name[:MAX_NAME])}", why)
    for place, pattern in enumerate(config.event_types or ()):
        if not any(wants([pattern], event) for event in EventType):
            raise Refused.invalid(f"/eventTypes/{place}", "expected an event type such as esim.activated, or esim.*")


def in_lower_case(headers: Mapping[str, Value]) -> dict[str, Value]:
    """Return the headers by their names in lower case. Raises `Refused` (422) where two are the same then."""
    lower = {name.lower(): value for name, value in sorted(headers.items())}
    if len(lower) != len(headers):
        raise Refused.invalid("/headers", "expected each header once: upper and lower case are the same")
    return lower
