"""Authorities that an endpoint trusts beside the system's: PEM text in, who they are out. Pure: the time is an argument."""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

LONGEST_PEM = 16_384
MOST_AUTHORITIES = 5


class Authority(Struct, frozen=True):
    """One authority: its subject (RFC 4514), when its certificate ends, aware UTC, and the SHA-256 of the certificate."""

    subject: str
    expires_at: datetime
    fingerprint: str


class Unfit(Exception):
    """The text is not what was expected; the message says what was."""


def read_authorities(pem: str) -> tuple[Authority, ...]:
    """Return the authorities in the text. Raises `Unfit` where it is no PEM of certificates."""
    return tuple(_authority(one) for one in _certificates(pem))


def checked_authorities(pem: str, *, now: datetime) -> str:
    """Return the certificates as PEM, without what stood around them.

    Raises `Unfit` for what cannot vouch for receivers `now` (aware UTC): no authority, expired, or too many.
    """
    if len(pem) > LONGEST_PEM:
        raise Unfit(f"expected at most {LONGEST_PEM} characters")
    certificates = _certificates(pem)
    if len(certificates) > MOST_AUTHORITIES:
        raise Unfit(f"expected at most {MOST_AUTHORITIES} certificates")
    for one in certificates:
        subject = one.subject.rfc4514_string()
        if not _may_sign(one):
            raise Unfit(f"expected the certificate of an authority: that of {subject} may not sign others")
        if one.not_valid_after_utc <= now:
            raise Unfit(f"expected certificates that are valid: that of {subject} has expired")
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def _certificates(pem: str) -> list[x509.Certificate]:
    if "PRIVATE KEY" in pem:
        raise Unfit("expected certificates only: there is a private key in the text")
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise Unfit("expected PEM: -----BEGIN CERTIFICATE----- and so on") from None


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _authority(certificate: x509.Certificate) -> Authority:
    return Authority(
        certificate.subject.rfc4514_string(), certificate.not_valid_after_utc, certificate.fingerprint(SHA256()).hex()
    )
