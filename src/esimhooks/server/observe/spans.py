"""What a span is, whether it is recorded or not: the types that `tracing` and its recorder share. They do nothing."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Protocol

Attributes = Mapping[str, str | int]


class Kind(Enum):
    """On which side of a conversation a span stands."""

    SERVER = auto()
    CLIENT = auto()
    INTERNAL = auto()


class Span:
    """One piece of work that is not recorded. `traceparent` (W3C Trace Context) names one that is."""

    traceparent: str | None = None

    def describe(self, attributes: Attributes, *, name: str | None = None, failed: bool = False) -> None:
        """Add what is known now; `name` replaces the one at the beginning, `failed` marks the work as failed."""


class Tracer(Protocol):
    """What records spans."""

    def span(
        self, name: str, kind: Kind, *, parent: str | None, links: Sequence[str], attributes: Attributes
    ) -> AbstractContextManager[Span]:
        """Record a span while the context lasts."""

    def present(self) -> str | None:
        """Return the traceparent of the span that this task is in."""

    def end(self) -> None:
        """Hand over what is recorded; blocks until the collector has it, or has had its time."""


class NotRecorded:
    """Not recorded; one for all, so that it costs no more than a call."""

    _span = Span()

    def __enter__(self) -> Span:
        return self._span

    def __exit__(self, *_: object) -> None:
        return None
