"""The functions that a receiver's user has registered, and which of them want an event.

A handler's name is what the inbox remembers it by, so it must stay the same over restarts. Whatever a handler raises
ends here as a failure; nothing is stored here.
"""

import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from esimhooks.receiver.event import Event
from esimhooks.receiver.logs import log

EVERY_EVENT = "*"
MAX_ERROR = 2000


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
        return EVERY_EVENT in self.events or event.event in self.events


class Failure(Struct):
    """What came of calling a handler; `error` is None where nothing was raised."""

    error: BaseException | None = None

    @property
    def text(self) -> str:
        """The error in one line that any database can store, as it is shown with a dead letter."""
        text = ""
        with caught() as unprintable:
            text = f"{type(self.error).__name__}: {self.error}"[:MAX_ERROR]
        if unprintable.error is not None:
            text = f"{type(self.error).__name__}: its text cannot be made ({type(unprintable.error).__name__})"
        return _storable(text)[:MAX_ERROR]


@contextmanager
def caught(kinds: type[BaseException] = BaseException) -> Iterator[Failure]:
    """Turn whatever the block raises into a failure, so that one handler does not stop the others.

    Handlers may raise anything, `SystemExit` and `CancelledError` included. Around an `await` of the worker's own, catch
    `Exception` only: there a `CancelledError` is the cancelling of the worker.
    """
    failure = Failure()
    try:
        yield failure
    except kinds as error:
        failure.error = error


def log_failure(handler: str, event: Event, failure: Failure, *, attempt: int) -> None:
    """Log a failed attempt with its traceback, in the message where it holds what no file or pipe would take."""
    message = f"{handler} failed for {event.id}, attempt {attempt}: {failure.text}"
    trace = ""
    with caught():
        trace = "".join(traceback.format_exception(failure.error))
    if trace and _storable(trace) == trace:
        log.warning("%s", message, exc_info=failure.error)
    else:
        log.warning("%s\n%s", message, _storable(trace))


def _storable(text: str) -> str:
    """Return a text that has no NUL and can be encoded."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


class Handlers:
    """All handlers of one receiver."""

    def __init__(self) -> None:
        self._by_name: dict[str, Handler] = {}

    def add(self, function: Callable[..., Any], events: Sequence[str], **options: Any) -> None:
        """Register a function. Raises `ValueError` where its name is taken, `TypeError` where it cannot be called."""
        if not events or any(not isinstance(one, str) for one in events):
            raise TypeError('name the events: @receiver.on("esim.activated") or @receiver.on("*")')
        name = options.pop("name") or _name_of(function)
        called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
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
        return [one for one in self._by_name.values() if one.wants(event)]

    @property
    def any_ordered(self) -> bool:
        """Whether the order of an eSIM's events matters to any."""
        return any(one.ordered for one in self._by_name.values())


def _name_of(function: Callable[..., Any]) -> str:
    function = inspect.unwrap(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}.{name}"
