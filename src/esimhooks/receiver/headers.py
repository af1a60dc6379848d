"""Request headers in any form that Python's web world has, looked up by lower-case name.

In come mappings, lists of pairs, WSGI environs or the byte pairs of ASGI; out go texts. Nothing is verified here.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from esimhooks.receiver.errors import VerificationFailure, WebhookVerificationError

MAX_CHARACTERS = 65_536


class HasItems(Protocol):
    """Headers of a library of its own: `items()` gives pairs, repeated names included."""

    def items(self) -> Iterable[tuple[object, object]]:
        """Return pairs of name and value."""
        ...


Headers = (
    Mapping[str, str] | Mapping[str, object] | HasItems | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]
)
"""A mapping of names to values or lists of values, pairs of text, ASGI's `scope["headers"]`, or a WSGI environ."""


def texts_by_name(headers: Headers) -> dict[str, list[str]]:
    """Return the values of each header by its name in lower case. Raises `WebhookVerificationError`.

    What is no pair of name and text is left out: an environ holds other things beside headers.
    """
    found: dict[str, list[str]] = {}
    try:
        pairs = headers.items() if hasattr(headers, "items") else headers
        for name, value in pairs:
            key = _text(name)
            for one in value if isinstance(value, list | tuple) else [value]:
                text = _text(one)
                if key is not None and text is not None:
                    found.setdefault(_plain(key), []).append(text.strip())
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise WebhookVerificationError(
            VerificationFailure.MALFORMED_HEADER, "the headers are neither a mapping nor pairs of name and value"
        ) from error
    return found


def _text(value: object) -> str | None:
    if isinstance(value, bytes | bytearray):
        return bytes(value[:MAX_CHARACTERS]).decode("latin-1")
    if isinstance(value, int) and not isinstance(value, bool):
        return format(value, "d") if value.bit_length() < 64 else None
    return value[:MAX_CHARACTERS] if isinstance(value, str) else None


def _plain(name: str) -> str:
    lower = name.lower()
    return lower.removeprefix("http_").replace("_", "-") if lower.startswith("http_") else lower
