"""The authorities that an endpoint trusts beside those of the system, as PEM. Pure.

Text comes in; certificates, or what was expected instead, go out. An authority is a certificate that may sign others and
has not expired.
"""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from esimhooks.server.domain.endpoint import MAX_PEM

MAX_TRUSTED_CAS = 5


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


def validate_cas(pem: str, *, now: datetime) -> str:
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
