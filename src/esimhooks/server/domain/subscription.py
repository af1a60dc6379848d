"""Which events an endpoint wants. Pure."""

from collections.abc import Sequence

from esimhooks.server.domain.event import AnyEventType


def wants(event_types: Sequence[str] | None, event: AnyEventType) -> bool:
    """Return whether a subscription covers the event. None means all; `esim.*` all that begin with `esim.`."""
    if event_types is None:
        return True
    return any(
        event.value == pattern or (pattern.endswith(".*") and event.value.startswith(pattern[:-1]))
        for pattern in event_types
    )
