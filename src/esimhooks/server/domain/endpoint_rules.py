"""What an endpoint may be configured with (headers, secret, filter), and which events it gets. Pure.

Text comes in; what was expected instead goes out. No header may frame the request or be one that the server sets. An event
whose filter takes too many steps is delivered: one delivery too many is better than one that is missing.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import msgspec

from esimhooks.server.domain.endpoint import EndpointConfig
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import FOR_MERCHANTS, AnyEventType
from esimhooks.server.domain.expression import Expression, Steps, TooManyStepsError, compile_expression
from esimhooks.server.domain.validation import escape_pointer
from esimhooks.signing import SECRET_PREFIX, InvalidSecretError, key_of
from esimhooks.vocabulary.events import EventType

Value = TypeVar("Value", str, str | None)

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
RESERVED = frozenset(
    {"content-type", "cookie", "date", "forwarded", "range", "traceparent", "tracestate", "user-agent"}
)
TRUSTED = frozenset(
    {
        "cf-connecting-ip",
        "metadata",
        "metadata-flavor",
        "true-client-ip",
        "x-client-ip",
        "x-google-metadata-request",
        "x-http-method-override",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
    }
)
"""Believed by proxies, or asked for by the metadata services of clouds."""
PREFIXES = ("if-", "proxy-", "sec-", "svix-", "webhook-", "x-aws-ec2-metadata-", "x-convoy-", "x-forwarded-")

_name = re.compile(rf"[a-z0-9!#$%&'*+.^_`|~-]{{1,{MAX_NAME}}}")
_value = re.compile(rf"[\x21-\x7e]([\x20-\x7e]{{0,{MAX_VALUE - 2}}}[\x21-\x7e])?")


def header_error(name: str, value: str, *, brand: str | None = None) -> str | None:
    """Return what was expected of a header instead, None where it may be sent. `name` is in lower case.

    `brand` is in the names of the headers of the hex profile, which only the server may send; None where it is not known.
    """
    if not _name.fullmatch(name):
        return f"expected the name of a header, of at most {MAX_NAME} letters, digits and hyphens"
    branded = () if brand is None else (f"x-{brand.lower()}-",)
    if name in FRAMING | RESERVED | TRUSTED or name.startswith(PREFIXES + branded):
        return "expected another header: this one frames the request, is set by the server or believed by others"
    if not _value.fullmatch(value):
        return f"expected 1 to {MAX_VALUE} printable ASCII characters, with no space at either end"
    return None


MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
"""What Standard Webhooks 1.0 allows."""


def secret_error(text: str) -> str | None:
    """Return what was expected of a secret that a merchant brings, None where it may sign. Never shows the secret."""
    expected = f"expected {SECRET_PREFIX} and the standard base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
    try:
        fits = text.startswith(SECRET_PREFIX) and MIN_SECRET_BYTES <= len(key_of(text)) <= MAX_SECRET_BYTES
    except InvalidSecretError:
        fits = False
    return None if fits else expected


EVERYTHING = ("*",)


def is_subscribed(event_types: Sequence[str] | None, event: AnyEventType) -> bool:
    """Return whether a subscription covers the event. None means all about eSIMs; `esim.*` all that begin with `esim.`.

    Events about endpoints are for those who name them: a receiver that knows eSIMs only need not expect it.
    """
    if event_types is None:
        return isinstance(event, EventType)
    return any(
        event.value == pattern or ((pattern == "*" or pattern.endswith(".*")) and event.value.startswith(pattern[:-1]))
        for pattern in event_types
    )


def require_valid(config: EndpointConfig, *, brand: str) -> None:
    """Raise `Refused` (422) for headers that may not be sent and for types that no event has."""
    if len(config.headers) > MAX_HEADERS:
        raise Refused.invalid("/headers", f"expected at most {MAX_HEADERS} headers")
    for name, value in config.headers.items():
        if (why := header_error(name, value, brand=brand)) is not None:
            raise Refused.invalid(f"/headers/{escape_pointer(name[:MAX_NAME])}", why)
    for index, pattern in enumerate(config.event_types or ()):
        if not any(is_subscribed([pattern], event) for event in (*EventType, *FOR_MERCHANTS)):
            raise Refused.invalid(f"/eventTypes/{index}", "expected an event type such as esim.activated, or esim.*")


def in_lower_case(headers: Mapping[str, Value]) -> dict[str, Value]:
    """Return the headers by their names in lower case. Raises `Refused` (422) where two are the same then."""
    lower = {name.lower(): value for name, value in sorted(headers.items())}
    if len(lower) != len(headers):
        raise Refused.invalid("/headers", "expected each header once, ignoring case")
    return lower


COMPILED = 4096
"""As many filters are kept compiled; they are of all tenants."""


class EventBody:
    """The body of an event, decoded once for all endpoints and only where one has a filter."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._decoded: object = None

    def passes(self, event_filter: str | None) -> bool:
        """Whether an endpoint with this filter gets the event."""
        if event_filter is None:
            return True
        if self._decoded is None:
            self._decoded = msgspec.json.decode(self._body)
        try:
            return _compiled(event_filter).is_true(self._decoded, Steps())
        except TooManyStepsError:
            return True


def is_selected(types: Sequence[str] | None, event_filter: str | None, event: AnyEventType, body: EventBody) -> bool:
    """Whether an endpoint that wants these types and has this filter gets the event."""
    return is_subscribed(types, event) and body.passes(event_filter)


def require_filter(event_filter: str | None, *, pointer: str = "/filter") -> None:
    """Raise `Refused` (422) with what was expected where the text is no filter."""
    if event_filter is None:
        return
    try:
        _compiled(event_filter)
    except ValueError as error:
        raise Refused.invalid(pointer, str(error)) from None


@lru_cache(maxsize=COMPILED)
def _compiled(event_filter: str) -> Expression:
    return compile_expression(event_filter)
