"""Transactional handlers: called inside a transaction in a thread that is watched, and given up where it does not end.

A call that opens a transaction comes in, its result goes out, or the failures of the handlers in it. A transaction that
was given up is undone whole and holds no lock any more, though its thread may hang on.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import wait
from contextlib import AbstractContextManager
from threading import Event as Flag
from typing import Any, Protocol, TypeVar

from esimhooks.receiver.children import call_to_its_end
from esimhooks.receiver.database import Session
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.event import Event
from esimhooks.receiver.failures import Failure, caught, log_failure
from esimhooks.receiver.handlers import Handler
from esimhooks.receiver.threads import Threads

INTERRUPT_WAIT_S = 0.2
"""How long a handler whose statement was interrupted has to let go of its own accord."""

POSTPONED_FOR_S = 60.0
"""A handler that was given up is not called within a request for so long: senders would wait for it each time."""

T = TypeVar("T")
Around = Callable[[], AbstractContextManager[Any]]
Loop = Callable[[], asyncio.AbstractEventLoop | None]


class TransactionGivenUp(Exception):
    """A handler in it did not end; nothing of it is stored."""


class Effects:
    """The transactional handlers of one transaction: whom to call, what came of it.

    `failures`: taken as they are, without a call. `postponed`: not called.
    """

    def __init__(
        self,
        loop: Loop,
        around: Around,
        *,
        limit_s: float,
        failures: Mapping[str, Failure] | None = None,
        postponed: Iterable[str] = (),
    ) -> None:
        self.failures = dict(failures or {})
        self.postponed = frozenset(postponed)
        self.begun = Flag()
        """Set when the first handler is called, or when none will be."""
        self._limit_s = limit_s
        self._loop = loop
        self._around = around
        self._at_work: tuple[Session, str] | None = None
        self._succeeded: list[str] = []

    def call(self, session: Session, handler: Handler, event: Event) -> Failure:
        """Call a handler; what it did on the connection is undone where it raises. Errors of the inbox come out."""
        self._at_work = session, handler.name
        entered = False
        with caught() as failure, session.savepoint() as connection:
            entered = True
            self.begun.set()
            with self._around():
                call_to_its_end(lambda: handler.function(event, connection), loop=self._loop(), limit_s=self._limit_s)
        if failure.error is not None and not entered:
            raise failure.error
        self._at_work = None
        if failure.error is None:
            self._succeeded.append(handler.name)
        else:
            self.failures[handler.name] = failure
        return failure

    def attribute_failure(self, error: TransactionGivenUp | InboxUnavailable) -> bool:
        """Return whether handlers have failed; where none has so far, those whose effects the database then refused.

        A constraint may be checked at the commit only, and a handler may have set up the connection so that it is of no
        use to the inbox. Where the database was away instead, these handlers have a failed attempt too many.
        """
        if isinstance(error, InboxUnavailable) and not self.failures:
            self.failures |= {name: Failure(error=error.__cause__ or error) for name in self._succeeded}
        return bool(self.failures)

    def interrupt(self) -> None:
        """Let the statement that runs in the database fail."""
        if self._at_work is not None:
            self._at_work[0].interrupt()

    def abort(self) -> list[str]:
        """Undo the transaction while its thread hangs; return the name of the handler at work, whose failure is noted."""
        if self._at_work is None:
            return []
        session, name = self._at_work
        session.abort()
        self.failures[name] = Failure(error=TimeoutError(f"no end within {self._limit_s:g} s; its effect is undone"))
        return [name]


class Supervisor:
    """Runs transactions with handlers in threads of its own. `limit_s`: for all handlers of one transaction."""

    def __init__(self, threads: Threads, loop: Loop, *, limit_s: float, around: Around) -> None:
        self._threads = threads
        self._loop = loop
        self._limit_s = limit_s
        self._around = around
        self._postponed_until: dict[str, float] = {}

    def effects(self, *, failures: Mapping[str, Failure] | None = None, postponed: Iterable[str] = ()) -> Effects:
        """Return what a transaction needs to call handlers."""
        return Effects(self._loop, self._around, limit_s=self._limit_s, failures=failures, postponed=postponed)

    def postponed(self) -> list[str]:
        """Return the names of the handlers that were given up a short time ago."""
        now = time.monotonic()
        return [name for name, until in self._postponed_until.items() if until > now]

    def run(self, effects: Effects, call: Callable[[], T]) -> T:
        """Return what a call returns that opens a transaction with these effects.

        Raises `TransactionGivenUp` where a handler does not end in time, and what the call raises.
        """
        future = self._threads.submit(call)
        future.add_done_callback(lambda _: effects.begun.set())
        effects.begun.wait()  # until then the inbox's own limits hold
        wait([future], self._limit_s + INTERRUPT_WAIT_S)
        if not future.done():
            effects.interrupt()
            wait([future], INTERRUPT_WAIT_S)
        if not future.done():
            for name in effects.abort():
                self._postponed_until[name] = time.monotonic() + POSTPONED_FOR_S
                self._threads.give_up(future, name=name)
            raise TransactionGivenUp
        return future.result()


class Store(Protocol):
    """Stores one event with effects; `whole`: in all of the time that is left."""

    def __call__(self, effects: Effects, *, whole: bool) -> bool:
        """Return whether the event is new."""
        ...


def store_with_effects(supervisor: Supervisor, event: Event, transactional: list[str], store: Store) -> bool:
    """Store an event and call its transactional handlers; return whether it is new.

    What a handler does to its transaction costs the handler an attempt and not the event its place in the inbox.
    Raises `InboxUnavailable`.
    """
    effects = supervisor.effects(postponed=supervisor.postponed())
    try:
        new = supervisor.run(effects, lambda: store(effects, whole=False))
    except (TransactionGivenUp, InboxUnavailable) as error:
        if not effects.attribute_failure(error):
            raise
        rest = [name for name in transactional if name not in effects.failures]
        again = supervisor.effects(failures=effects.failures, postponed=rest)
        new = store(again, whole=True)
    for name, failure in effects.failures.items():
        log_failure(name, event, failure, attempt=1)
    return new
