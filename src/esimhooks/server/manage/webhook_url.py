"""Where a merchant wants its webhooks: an address that the gate would let through, and authorities that can vouch for it."""

from collections.abc import Callable
from datetime import datetime

from esimhooks.server.delivery.http.errors import GateRefused
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.trusted_cas import InvalidCertificateError, validated_cas

CheckUrl = Callable[[str], object]
"""Raises `GateRefused` for a URL that must not be called."""


def require_reachable(check_url: CheckUrl, url: str, *, pointer: str) -> None:
    """Raise `Refused` (422) with the pointer of the field where the URL must not be called."""
    try:
        check_url(url)
    except GateRefused as error:
        raise Refused.invalid(pointer, error.detail) from None


def require_authorities(pem: str | None, *, now: datetime) -> str | None:
    """Return the certificates in the text and nothing else of it.

    Raises `Refused` (422) where they are not those of authorities, or not valid `now` (aware UTC).
    """
    try:
        return None if pem is None else validated_cas(pem, now=now)
    except InvalidCertificateError as error:
        raise Refused.invalid("/caCertificate", str(error)) from None
