"""One attempt of a claimed run: its handler is called, for a limited time, and what came of it is recorded.

Claims come in, nothing goes out: whatever a handler lets out is a failed attempt. Plain and transactional handlers run in
threads that are given up when their time is over, so that they hold no slot of the worker.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Event as Flag
from typing import TypeVar

from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.handlers import Failure, Handler, caught, log_failure
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
        self._outcomes = Outcomes(runs)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Return what a call that blocks returns."""
        return await asyncio.wrap_future(self._threads.submit(call))

    async def attempt(self, claim: Claim, handler: Handler, ended: Callable[[], None]) -> None:
        """Call a handler and record what came of it, however long that takes; `ended` is called between the two."""
        if self._threads.hanging(handler.name) >= MAX_HANGING:
            hang = TimeoutError(f"not called: {MAX_HANGING} earlier calls hang and cannot be ended")
            failure: Failure | None = Failure(error=hang)
        elif handler.transactional:
            failure = await self.in_thread(lambda: self._apply(claim, handler))
        elif handler.asynchronous:
            failure = await self._call_async(claim, handler)
        else:
            failure = await self._call_plain(claim, handler, ended)
        ended()
        if failure is not None:
            await self.in_thread(lambda: self._record(claim, failure))

    async def _call_async(self, claim: Claim, handler: Handler) -> Failure:
        """Call in a task of its own, so that a `CancelledError` out of the handler is not taken for our own end."""

        async def guarded() -> Failure:
            with caught() as failure:
                await handler.function(claim.event)
            return failure

        call = asyncio.create_task(guarded(), name=f"esimhooks {handler.name} {claim.event.id}")
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

    async def _call_plain(self, claim: Claim, handler: Handler, ended: Callable[[], None]) -> Failure | None:
        """Call in a thread, which records a success by itself, whatever happens meanwhile to the limit and to this loop."""
        loop = asyncio.get_running_loop()
        returned = Flag()

        def call() -> Failure | None:
            with caught() as failure, self._around():
                handler.function(claim.event)
            returned.set()
            if failure.error is not None:
                return failure
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(ended)
            self._record(claim, failure)
            return None

        future = self._threads.submit(call)
        ending = asyncio.wrap_future(future)
        await asyncio.wait({ending}, timeout=self._retrying.handler_limit_s)
        if returned.is_set():
            return await ending
        self._threads.give_up(future, name=handler.name)
        return self._too_long()

    def _apply(self, claim: Claim, handler: Handler) -> Failure | None:
        """Call a transactional handler; its success is recorded with its effect. Raises `InboxUnavailable`."""
        effects = self._supervisor.effects()
        try:
            failure = self._supervisor.run(
                effects, lambda: self._runs.apply(claim, handler, now=self._clock(), effects=effects)
            )
        except (TransactionGivenUp, InboxUnavailable):
            if not effects.failures:
                raise
            failure = effects.failures[handler.name]
        return failure

    def _record(self, claim: Claim, failure: Failure) -> None:
        if failure.error is not None:
            log_failure(claim.handler, claim.event, failure, attempt=claim.attempts + 1)
        self._outcomes.record(Outcome(claim=claim, failure=failure, ended_at=self._clock()))

    def _too_long(self) -> Failure:
        return Failure(error=TimeoutError(f"no end within {self._retrying.handler_limit_s:g} s"))
