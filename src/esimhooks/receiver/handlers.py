"""The functions that a receiver's user has registered, and which of them want an event.

A handler's name is what the inbox remembers it by, so it must stay the same over restarts. Nothing is called or
stored here.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from esimhooks.receiver.event import Event

EVERY_EVENT = "*"


class Handler(Struct, frozen=True, kw_only=True):
    """One registered function. `transactional`: it takes the event and the connection of the inbox's transaction."""

    name: str
    events: frozenset[str]
    function: Callable[..., Any]
    ordered: bool
    transactional: bool
    asynchronous: bool

    def wants(self, event: Event) -> bool:
        """Whether the event is one of those that the handler was registered for."""
        return any(_covers(pattern, event.event) for pattern in self.events)


class Handlers:
    """All handlers of one receiver."""

    def __init__(self) -> None:
        self._by_name: dict[str, Handler] = {}

    def add(self, function: Callable[..., Any], events: Sequence[str], **options: Any) -> None:
        """Register a function. Raises `ValueError` where its name is taken, `TypeError` where it cannot be a handler."""
        if not events or any(not isinstance(one, str) for one in events):
            raise TypeError('name the events: @receiver.on("esim.activated") or @receiver.on("*")')
        name = options.pop("name") or _name_of(function)
        called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        if any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in (function, called)):
            raise TypeError("a handler must not yield: nothing of it would run")
        handler = Handler(
            name=name,
            events=frozenset(events),
            function=function,
            asynchronous=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called),
            **options,
        )
        if name in self._by_name:
            raise ValueError(f"there is a handler named {name} already: give this one a name=")
        self._by_name[name] = handler

    def named(self, name: str) -> Handler | None:
        """Return the handler that the inbox remembers by this name."""
        return self._by_name.get(name)

    def names(self) -> list[str]:
        """Return all names."""
        return list(self._by_name)

    def wanting(self, event: Event) -> list[Handler]:
        """Return the handlers that want the event, in the order of their registration."""
        return [one for one in list(self._by_name.values()) if one.wants(event)]

    @property
    def any_ordered(self) -> bool:
        """Whether the order of an eSIM's events matters to any."""
        return any(one.ordered for one in self._by_name.values())


def _covers(pattern: str, event: str) -> bool:
    """Whether a pattern covers an event type as in an endpoint's `eventTypes`: the type itself, `esim.*` or `*`."""
    return pattern in (EVERY_EVENT, event) or (pattern.endswith(".*") and event.startswith(pattern[:-1]))


def _name_of(function: Callable[..., Any]) -> str:
    function = inspect.unwrap(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}.{name}"
