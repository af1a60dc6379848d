"""One attempt of a claimed run: its handler is called, for a limited time, and what came of it is handed on to be recorded.

Claims come in, nothing goes out: whatever a handler lets out is a failed attempt. Plain and transactional handlers run in
threads that are given up when their time is over, so that they hold no slot of the worker.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from esimhooks.receiver.children import awaited, call_to_its_end
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.failures import Failure, caught
from esimhooks.receiver.handlers import Handler
from esimhooks.receiver.outcomes import Outcomes
from esimhooks.receiver.retrying import Retrying
from esimhooks.receiver.runs import Claim, Outcome, Runs
from esimhooks.receiver.threads import Threads
from esimhooks.receiver.transactions import Around, Supervisor, TransactionGivenUp

CANCEL_WAIT_S = 1.0
"""How long an async handler that was cancelled has to end."""

MAX_HANGING = 10
"""Of one handler. Its further runs fail without a call until one of these has ended: threads cannot be ended."""

T = TypeVar("T")


class Calling:
    """Calls the handlers of one worker."""

    def __init__(
        self,
        runs: Runs,
        *,
        retrying: Retrying,
        threads: Threads,
        supervisor: Supervisor,
        around: Around,
        clock: Callable[[], float],
    ) -> None:
        self._runs = runs
        self._retrying = retrying
        self._threads = threads
        self._supervisor = supervisor
        self._around = around
        self._clock = clock
        self._outcomes = Outcomes(runs, threads, lambda outcomes: self.recorded([one.claim for one in outcomes]))
        self.recorded: Callable[[Sequence[Claim]], None] = lambda _: None
        """Called in a thread of its own with runs whose outcome needs nothing more."""

        self._loop = asyncio.get_running_loop()
        self._ended: deque[asyncio.Future[None]] = deque()
        self._waking = False

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Begin a call that blocks."""
        return self._threads.submit(call)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Return what a call that blocks returns."""
        return await asyncio.wrap_future(self.submit(call))

    async def attempt(self, claim: Claim, handler: Handler) -> bool:
        """Return when the handler has ended, or was given up: whether `recorded` will be called for it.

        Raises `InboxUnavailable` where a transactional handler could not be called.
        """
        if self._threads.hanging(handler.name) >= MAX_HANGING:
            self._record(claim, Failure(error=TimeoutError(f"not called: {MAX_HANGING} earlier calls hang")))
        elif handler.transactional:
            failure = await self.in_thread(lambda: self._apply(claim, handler))
            if failure is None:
                return False
            self._record(claim, failure)
        elif handler.asynchronous:
            self._record(claim, await self._call_async(claim, handler))
        else:
            await self._call_plain(claim, handler)
        return True

    async def _call_async(self, claim: Claim, handler: Handler) -> Failure:
        """Call in a task of its own, so that a `CancelledError` out of the handler is not taken for our own end."""
        calling = awaited(lambda: handler.function(claim.event))
        call = asyncio.create_task(calling, name=f"esimhooks {handler.name} {claim.event.id}")
        try:
            await asyncio.wait({call}, timeout=self._retrying.handler_limit_s)
        except asyncio.CancelledError:
            call.cancel()
            # The loop is ending: give the run back on the spot, there is no later.
            with caught(InboxUnavailable):
                self._runs.release([claim], now=self._clock())
            raise
        if call.done():
            return call.result()
        call.cancel()
        await asyncio.wait({call}, timeout=CANCEL_WAIT_S)
        return self._too_long()

    async def _call_plain(self, claim: Claim, handler: Handler) -> None:
        """Call in a thread, which records a success by itself, whatever happens meanwhile to the limit and to this loop."""
        ended, results = self._loop.create_future(), list[Failure]()
        limit_s = self._retrying.handler_limit_s

        def call() -> None:
            with caught() as failure, self._around():
                call_to_its_end(lambda: handler.function(claim.event), loop=self._loop, limit_s=limit_s)
            results.append(failure)
            if failure.error is None:
                self._record(claim, failure)
            self._resolve_soon(ended)

        future = self._threads.submit(call)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await ended
        if not results:
            self._threads.give_up(future, name=handler.name)
            self._record(claim, self._too_long())
        elif results[0].error is not None:
            self._record(claim, results[0])

    def _resolve_soon(self, ended: asyncio.Future[None]) -> None:
        """Resolve in the loop, which is woken once for all that end meanwhile: waking it costs more than a quick handler."""
        self._ended.append(ended)
        if not self._waking:
            self._waking = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        self._waking = False
        while self._ended:
            ended = self._ended.popleft()
            if not ended.done():
                ended.set_result(None)

    def _apply(self, claim: Claim, handler: Handler) -> Failure | None:
        """Call a transactional handler; its success is recorded with its effect. Raises `InboxUnavailable`."""
        effects = self._supervisor.effects()
        try:
            failure = self._supervisor.run(
                effects, lambda: self._runs.apply(claim, handler, now=self._clock(), effects=effects)
            )
        except (TransactionGivenUp, InboxUnavailable) as error:
            if not effects.attribute_failure(error):
                raise
            failure = effects.failures[handler.name]
        return failure

    def _record(self, claim: Claim, failure: Failure) -> None:
        self._outcomes.record(Outcome(claim=claim, failure=failure, ended_at=self._clock()))

    def _too_long(self) -> Failure:
        return Failure(error=TimeoutError(f"no end within {self._retrying.handler_limit_s:g} s"))
