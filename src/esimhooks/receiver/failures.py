"""What goes wrong in other people's code: caught, whatever it is, put into words that can be stored, and logged.

What handlers and log handlers raise comes in; a failure or a line of the log goes out, and no exception. A log that cannot
be written must not cost an event its outcome, nor the sender its answer.
"""

import logging
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from msgspec import Struct

from esimhooks.receiver.event import Event

MAX_ERROR = 2000


class _GuardedLog(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        # In the main thread what is no `Exception` may come from a signal, which must not be lost.
        main = threading.current_thread() is threading.main_thread()
        with suppress(Exception if main else BaseException):
            super().log(level, msg, *args, **{"stacklevel": 2} | kwargs)


log = _GuardedLog(logging.getLogger("esimhooks.receiver"))


class Failure(Struct):
    """What came of calling a handler; `error` is None where nothing was raised."""

    error: BaseException | None = None

    @property
    def text(self) -> str:
        """The error in one line that any database can store, as it is shown with a dead letter."""
        text = ""
        with caught() as unprintable:
            text = f"{_kind_of(self.error)}: {self.error}"[:MAX_ERROR]
        if unprintable.error is not None:
            text = f"{_kind_of(self.error)}: its text cannot be made ({_kind_of(unprintable.error)})"
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


def _kind_of(error: BaseException | None) -> str:
    """Return the name of an error's class, without regard to what its metaclass makes of that."""
    return str(_NAME_OF_CLASS.__get__(type(error)))


_NAME_OF_CLASS = type.__dict__["__name__"]


def _storable(text: str) -> str:
    """Return a text that has no NUL and can be encoded."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
