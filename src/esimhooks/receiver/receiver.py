"""`Receiver`: webhooks of one endpoint, kept in a durable inbox and processed by your functions.

Requests come in through ASGI or WSGI; after verification and commit they are answered, and handlers are called in the
background. This file only puts the parts together.
"""

import asyncio
import atexit
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from esimhooks.receiver import applications, forks
from esimhooks.receiver.background import LoopBackground, ThreadBackground
from esimhooks.receiver.calling import Calling
from esimhooks.receiver.database import Database
from esimhooks.receiver.event import Event
from esimhooks.receiver.failures import caught, log
from esimhooks.receiver.handlers import Handlers
from esimhooks.receiver.headers import Headers
from esimhooks.receiver.inbox import Inbox, InboxStats, database_of
from esimhooks.receiver.intake import ANSWER_WITHIN_S, Answer, Intake
from esimhooks.receiver.retrying import Retrying
from esimhooks.receiver.runs import Runs
from esimhooks.receiver.threads import Threads
from esimhooks.receiver.transactions import Around, Supervisor
from esimhooks.receiver.webhook import Secret, Webhook
from esimhooks.receiver.worker import Worker

MAX_BODY_BYTES = 1_048_576
STOP_LIMIT_S = 10.0
THREADS_LIMIT_S = 1.0
DRAIN_POLL_S = 0.01
ANSWER_GRACE_S = 0.4
"""For what an inbox that waits for nothing more still has to do."""

TAKING = "taking a request"
MAX_HANGING_REQUESTS = 32
"""Requests whose inbox does not answer at all; until one of them ends, others are answered with 503 at once."""

Plain = TypeVar("Plain", bound=Callable[[Event], Any])
Transactional = TypeVar("Transactional", bound=Callable[[Event, Any], Any])


class Receiver:
    """An ASGI application (and, as `.wsgi`, a WSGI one) that takes webhooks; mount it at any path.

    `secret`: what `Webhook` takes, or a `Webhook`. `inbox`: `sqlite:///inbox.db` or `postgresql://...`; it is opened at
    the first use. `concurrency`: handlers at work at a time. `max_body_bytes`: larger requests are answered with 413.
    `clock` returns Unix seconds; the clocks of processes that share an inbox must agree within seconds.

    It may be made and used before a server forks: each process has connections and a worker of its own.
    Raises `ValueError` and `MissingExtraError`.
    """

    def __init__(
        self,
        secret: Secret | Sequence[Secret] | Webhook,
        *,
        inbox: str | Database,
        concurrency: int = 10,
        max_body_bytes: int = MAX_BODY_BYTES,
        retrying: Retrying | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        webhook = secret if isinstance(secret, Webhook) else Webhook(secret, clock=clock)
        database = database_of(inbox) if isinstance(inbox, str) else inbox
        self.inbox = Inbox(database, clock=clock)
        self._retrying = retrying or Retrying()
        self._handlers = Handlers()
        self._runs = Runs(database, self._retrying)
        self._intake = Intake(webhook, self._runs, self._handlers, max_body_bytes=max_body_bytes, clock=clock)
        self._concurrency = concurrency
        self.around: Around = nullcontext
        """What plain handlers are called in, in their threads: `receiver.around = app.app_context` for Flask."""

        self._clock = clock
        self.max_body_bytes = max_body_bytes
        self._background: LoopBackground | ThreadBackground | None
        self._start_anew()
        forks.register(in_child=self._start_anew)
        _close_at_exit(weakref.ref(self))

    def on(self, *events: str, ordered: bool = False, name: str | None = None) -> Callable[[Plain], Plain]:
        """Register a handler, sync or async, for these event types, for a group (`"esim.*"`) or all (`"*"`).

        It is called in the background after the 200, at least once, and not again after it has returned; what it raises
        is retried. `ordered`: it sees the events of one eSIM one at a time, by `sequence`. `name`: what the inbox
        remembers it by, the function's full name where it is left out; runs of a name that no process has wait for it.
        """

        def register(function: Plain) -> Plain:
            self._handlers.add(function, events, ordered=ordered, name=name, transactional=False)
            return function

        return register

    def transactional(
        self, *events: str, ordered: bool = False, name: str | None = None
    ) -> Callable[[Transactional], Transactional]:
        """Register a function, sync or async, that takes the event and a connection to the inbox's database.

        What it does on the connection is committed together with the event, before the 200, exactly once; it must be
        quick and must not commit. Where it raises, or does not end in time, its part is undone and tried again in the
        background. With `ordered` it always runs in the background, its effect committed together with the mark that it
        is done. The connection is the driver's and blocks; `esimhooks.sqlalchemy` makes a session of it.
        """

        def register(function: Transactional) -> Transactional:
            self._handlers.add(function, events, ordered=ordered, name=name, transactional=True)
            return function

        return register

    async def __call__(self, scope: applications.Scope, receive: applications.Receive, send: applications.Send) -> None:
        """Serve one ASGI scope. The worker starts with the first request at the latest, in the same loop."""
        if scope["type"] == "lifespan":
            await applications.serve_lifespan(receive, send, start=self.start_async, stop=self.close_async)
        elif scope["type"] == "http":
            await self._start_with_a_request()
            await applications.serve_asgi(scope, receive, send, intake=self._intake, take=self._take_async)
        else:
            await receive()
            await send({"type": "websocket.close"})

    def wsgi(self, environ: dict[str, Any], start_response: applications.StartResponse) -> Iterable[bytes]:
        """Serve one WSGI request: `DispatcherMiddleware(app, {"/webhooks/esim": receiver.wsgi})`.

        The worker starts with the first request at the latest, in a thread, and is stopped when the process exits.
        """
        with caught(RuntimeError) as not_started:  # what is stored now is worked on as soon as one can be
            self.start()
        if not_started.error is not None:
            log.error("%s", not_started.error)
        deadline = time.monotonic() + ANSWER_WITHIN_S
        take = partial(self._take, deadline=deadline)
        return applications.serve_wsgi(environ, start_response, intake=self._intake, take=take)

    def take(self, body: bytes, headers: Headers, *, method: str = "POST") -> Answer:
        """Verify and store one request that came some other way, and return the answer to it. Blocks.

        No worker is started: call `start` or, where a process lives for one request only, `drain`.
        """
        deadline = time.monotonic() + ANSWER_WITHIN_S
        refused = self._intake.refuse_unread(method, str(len(body)))
        return refused or self._take(body, headers, deadline)

    def drain(self, *, within_s: float = 30.0) -> InboxStats:
        """Have handlers called for all that is due now, and return the counts of the inbox when they have ended. Blocks.

        For tests, and for processes that live for one request only. What fails waits for its next attempt, as always.
        Raises `TimeoutError`, and `InboxUnavailable`. Where the worker runs in the event loop of the caller, await
        `asyncio.to_thread(receiver.drain)`.
        """
        if self._works() and self._loop() is _running_loop():
            raise RuntimeError("this loop runs the handlers: await asyncio.to_thread(receiver.drain)")
        worked, deadline = self._works(), time.monotonic() + within_s
        self.start()
        try:
            while self.inbox.is_busy(self._handlers.names()):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"handlers are at work after {within_s:g} s: {self.stats()}")
                if self._background is not None:
                    self._background.worker.notify()
                time.sleep(DRAIN_POLL_S)
            return self.stats()
        finally:
            if not worked:
                self.close()

    def start(self) -> None:
        """Start the worker in a thread, unless it works already. What was left by a crash is claimed at once."""
        with self._starting:
            if not self._works():
                self._background = ThreadBackground(self._worker)

    def close(self) -> None:
        """Stop the thread's worker, letting handlers end for ten seconds, and close the connections.

        Called when the process exits; servers that end their processes otherwise need it in a hook of theirs, as
        gunicorn's `worker_exit`.
        """
        if self._process.forked:
            self._start_anew()
        if isinstance(self._background, ThreadBackground):
            self._background.stop(within_s=STOP_LIMIT_S)
            self._background = None
        self._threads.close(within_s=THREADS_LIMIT_S)
        self.inbox.close()

    async def start_async(self) -> None:
        """Start the worker in the running loop, unless it works already."""
        with self._starting:
            if not self._works():
                self._background = LoopBackground(self._worker)

    async def close_async(self) -> None:
        """Stop the loop's worker, letting handlers end for ten seconds, and close the connections."""
        if isinstance(self._background, LoopBackground):
            await self._background.stop(within_s=STOP_LIMIT_S)
            self._background = None
        await asyncio.to_thread(self.close)

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Start and stop with an application that it is mounted in: `FastAPI(lifespan=receiver.lifespan)`."""
        await self.start_async()
        try:
            yield
        finally:
            await self.close_async()

    def stats(self) -> InboxStats:
        """Return the counts of the inbox. Blocks; raises `InboxUnavailable`."""
        return self.inbox.stats()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_anew(self) -> None:
        """Begin without worker and threads, as a new process does: those of a parent do not live here."""
        self._process = forks.ProcessMark()
        self._starting = threading.Lock()
        self._background = None
        self._threads = Threads("esimhooks-receiver")
        limit_s = self._retrying.transactional_limit_s
        self._supervisor = Supervisor(self._threads, self._loop, limit_s=limit_s, around=self._called_in)

    def _called_in(self) -> AbstractContextManager[Any]:
        return self.around()

    def _works(self) -> bool:
        """Whether this process has a worker that works."""
        if self._process.forked:
            self._start_anew()
        return self._background is not None and self._background.alive

    def _loop(self) -> asyncio.AbstractEventLoop | None:
        background = self._background
        return background.loop if background is not None and background.alive else None

    def _worker(self) -> Worker:
        calling = Calling(
            self._runs,
            retrying=self._retrying,
            threads=self._threads,
            supervisor=self._supervisor,
            around=self._called_in,
            clock=self._clock,
        )
        return Worker(
            self._runs,
            self.inbox,
            self._handlers,
            calling,
            concurrency=self._concurrency,
            clock=self._clock,
        )

    async def _start_with_a_request(self) -> None:
        """Start the worker where no lifespan has: it works only as long as this loop runs."""
        if self._works():
            return
        if self._handlers.names():
            log.warning(
                "the receiver starts with a request, because no lifespan has started it: its handlers run only while this"
                " event loop does. Pass lifespan=receiver.lifespan to the application, or call receiver.start()"
            )
        await self.start_async()

    def _take(self, body: bytes, headers: Headers, deadline: float) -> Answer:
        if (taking := self._begin_taking(body, headers, deadline)) is None:
            return self._intake.unavailable()
        wait([taking], self._left_s(deadline))
        return self._answer_of(taking)

    async def _take_async(self, body: bytes, headers: Headers) -> Answer:
        deadline = time.monotonic() + ANSWER_WITHIN_S
        if (taking := self._begin_taking(body, headers, deadline)) is None:
            return self._intake.unavailable()
        await asyncio.wait([asyncio.wrap_future(taking)], timeout=self._left_s(deadline))
        return self._answer_of(taking)

    def _begin_taking(self, body: bytes, headers: Headers, deadline: float) -> Future[Answer] | None:
        """Take a request in a thread of its own, as no driver notices a frozen database.

        Not where too many hang, or the system gives no more threads.
        """
        if self._threads.hanging(TAKING) >= MAX_HANGING_REQUESTS:
            return None

        def take() -> Answer:
            answer = self._intake.unavailable()
            with caught() as failure:
                answer = self._intake.take(body, headers, supervisor=self._supervisor, deadline=deadline)
            if failure.error is not None:
                log.error("a request was answered with 503 after an error", exc_info=failure.error)
            return answer

        taking: Future[Answer] | None = None
        with caught(RuntimeError) as no_thread:
            taking = self._threads.submit(take)
        if no_thread.error is not None:
            log.error("a request was answered with 503: %s", no_thread.error)
        return taking

    def _left_s(self, deadline: float) -> float:
        more_s = max(0.0, self._retrying.transactional_limit_s - ANSWER_WITHIN_S)
        return max(0.0, deadline - time.monotonic()) + more_s + ANSWER_GRACE_S

    def _answer_of(self, taking: Future[Answer]) -> Answer:
        if not taking.done():
            self._threads.give_up(taking, name=TAKING)
            return self._intake.unavailable()
        answer, background = taking.result(), self._background
        if answer.status == 200 and background is not None:
            background.worker.notify()
        return answer


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _close_at_exit(reference: "weakref.ref[Receiver]") -> None:
    """Close a receiver that still lives when the interpreter ends, in whatever process that is."""

    def close() -> None:
        receiver = reference()
        if receiver is not None:
            with caught(Exception):
                receiver.close()

    atexit.register(close)
