"""The address that a merchant gives for its webhooks: it may be kept only where the gate would let a delivery through."""

from collections.abc import Callable

from esimhooks.server.model.errors import Refused
from esimhooks.server.sender.errors import GateRefused

CheckUrl = Callable[[str], object]
"""Raises `GateRefused` for a URL that must not be called."""


def require_reachable(check_url: CheckUrl, url: str, *, pointer: str) -> None:
    """Raise `Refused` (422) with the pointer of the field where the URL must not be called."""
    try:
        check_url(url)
    except GateRefused as error:
        raise Refused.invalid(pointer, error.detail) from None
