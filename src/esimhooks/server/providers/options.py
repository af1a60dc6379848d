"""Reads credentials, settings and addresses of a configured provider, field by field.

A `ProviderConfig` comes in as an operator wrote it, typed values go out. What is not as expected is `Refused` (422)
with a pointer to the field; the value itself is never repeated, it may be a credential.
"""

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from urllib.parse import urlsplit

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.validation import escape_pointer
from esimhooks.server.providers.port import ProviderConfig

_HEADER_TEXT = re.compile(r"[\x21-\x7e]{1,200}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Confirm(StrEnum):
    """Which updates of an unsigned provider are confirmed by `fetch` before they are applied."""

    ALWAYS = "always"
    TERMINAL = "terminal"
    NEVER = "never"


def refuse_unknown(part: str, given: Mapping[str, object], allowed: Collection[str]) -> None:
    """Raise `Refused` for a name that the kind does not know; a misspelt setting must not be ignored."""
    for name in given:
        if name not in allowed:
            raise Refused.invalid(f"/{part}/{escape_pointer(name)}", f"expected one of {', '.join(sorted(allowed))}")


def credential(config: ProviderConfig, name: str) -> str | None:
    """Return a credential that can stand in a header, or None where it is not given."""
    value: object = config.credentials.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _HEADER_TEXT.fullmatch(value):
        raise Refused.invalid(f"/credentials/{name}", "expected 1-200 printable ASCII characters without spaces")
    return value


def confirm(config: ProviderConfig) -> Confirm:
    """Return the setting `confirm`, by default `terminal`."""
    value = config.settings.get("confirm", Confirm.TERMINAL.value)
    if not isinstance(value, str) or value not in set(Confirm):
        raise Refused.invalid("/settings/confirm", f"expected one of {', '.join(Confirm)}")
    return Confirm(value)


def flag(config: ProviderConfig, name: str, *, default: bool) -> bool:
    """Return a setting that is true or false."""
    value = config.settings.get(name, default)
    if not isinstance(value, bool):
        raise Refused.invalid(f"/settings/{name}", "expected true or false")
    return value


def rate(config: ProviderConfig, *, default: float) -> float:
    """Return the setting `requestsPerSecond`, above 0 and at most 1000."""
    value = config.settings.get("requestsPerSecond", default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1000:
        raise Refused.invalid("/settings/requestsPerSecond", "expected a number above 0 and at most 1000")
    return float(value)


def base_url(config: ProviderConfig, *, default: str | None, secure: bool) -> str:
    """Return the address of the provider's API without a slash at its end.

    With `secure`, plain http is accepted for this machine only: credentials go over the wire with every request.
    """
    value = config.base_url if config.base_url is not None else default
    if value is None:
        raise Refused.invalid("/baseUrl", "expected an address: this kind has none of its own")
    try:
        check_address(value, secure=secure)
    except ValueError as error:
        raise Refused.invalid("/baseUrl", str(error)) from None
    return value.rstrip("/")


def check_address(value: str, *, secure: bool) -> None:
    """Raise `ValueError` with what was expected where it is no address of an API."""
    try:
        parts = urlsplit(value)
        usable = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("expected an address such as https://api.example.com")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("expected an address without user, query and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and (not secure or parts.hostname in _LOOPBACK)):
        raise ValueError("expected https" if secure else "expected http or https")
