"""The filter of an endpoint: an expression over an event that says whether the endpoint gets it. Pure.

The text of a filter and the body of an event come in, yes or no goes out. An event whose filter takes too many steps is
wanted: one delivery too many is better than one that is missing.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from esimhooks.server.domain.endpoint_rules import wants
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import AnyEventType
from esimhooks.server.domain.expression import Expression, Steps, TooManyStepsError, compile_expression

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
            return _compiled(event_filter).holds(self._decoded, Steps())
        except TooManyStepsError:
            return True


def gets(types: Sequence[str] | None, event_filter: str | None, event: AnyEventType, body: EventBody) -> bool:
    """Whether an endpoint that wants these types and has this filter gets the event."""
    return wants(types, event) and body.passes(event_filter)


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
