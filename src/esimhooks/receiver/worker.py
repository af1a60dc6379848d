"""The background of a receiver: claims runs that are due and calls their handlers, until it is stopped.

One asyncio task with its children, in the loop of the application or in a thread's own. The inbox and plain handlers are
called in threads of the worker's own. It must not end because of what a handler or the inbox does.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.handlers import Failure, Handler, Handlers, caught
from esimhooks.receiver.inbox import Inbox
from esimhooks.receiver.retrying import Retrying
from esimhooks.receiver.runs import Claim, Key, Runs

POLL_S = 1.0
"""How often runs are looked for that nobody has rung for: retries, and those of processes that died."""

PAUSE_WHEN_UNAVAILABLE_S = 2.0
PRUNE_EVERY_S = 3600.0
INBOX_THREADS = 3

T = TypeVar("T")
log = logging.getLogger("esimhooks.receiver")


class Worker:
    """Works off one inbox with at most `concurrency` handlers at a time."""

    def __init__(
        self,
        runs: Runs,
        inbox: Inbox,
        handlers: Handlers,
        *,
        retrying: Retrying,
        concurrency: int,
        clock: Callable[[], float],
    ) -> None:
        self._runs = runs
        self._inbox = inbox
        self._handlers = handlers
        self._retrying = retrying
        self._concurrency = concurrency
        self._clock = clock
        self._working: dict[Key, asyncio.Task[None]] = {}
        self._leased: set[Key] = set()
        self._rung = asyncio.Event()
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._inbox_threads = ThreadPoolExecutor(INBOX_THREADS, thread_name_prefix="esimhooks-inbox")
        self._handler_threads = ThreadPoolExecutor(concurrency, thread_name_prefix="esimhooks-handler")

    def ring(self) -> None:
        """Tell, from any thread, that something may be due."""
        with suppress(RuntimeError):  # the loop has just been closed: the run waits for the next start
            self._loop.call_soon_threadsafe(self._rung.set)

    async def in_inbox_thread(self, call: Callable[[], T]) -> T:
        """Return what a call that blocks on the inbox returns."""
        return await self._loop.run_in_executor(self._inbox_threads, call)

    async def run(self) -> None:
        """Work until `stop`, or until cancelled."""
        try:
            async with asyncio.TaskGroup() as children:
                upkeep = [
                    children.create_task(self._renew_leases(), name="esimhooks leases"),
                    children.create_task(self._prune(), name="esimhooks prune"),
                ]
                while not self._stopping:
                    self._rung.clear()
                    pause_s = POLL_S
                    with caught() as failure:
                        await self._round(children)
                    if failure.error is not None:
                        pause_s = self._told(failure)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._rung.wait(), pause_s)
                if self._working:
                    await asyncio.wait(self._working.values())
                for task in upkeep:
                    task.cancel()
        finally:
            # Threads of handlers go on to their end and store what came of it.
            self._inbox_threads.shutdown(wait=False)
            self._handler_threads.shutdown(wait=False)

    def stop(self) -> None:
        """Claim nothing more, and end when the handlers that are at work have ended."""
        self._stopping = True
        self.ring()

    async def _round(self, children: asyncio.TaskGroup) -> None:
        free = self._concurrency - len(self._working)
        names, keep_order = self._handlers.names(), self._handlers.any_ordered
        if free <= 0 or not names:
            return
        claims = await self.in_inbox_thread(
            lambda: self._runs.claim(names, limit=free, now=self._clock(), keep_order=keep_order)
        )
        for claim in claims:
            if claim.key in self._working:  # its lease ran out during an outage, and it is still at work here
                continue
            task = children.create_task(self._work(claim), name=f"esimhooks {claim.handler}")
            self._working[claim.key] = task
            task.add_done_callback(partial(self._ended, claim.key))
        if len(claims) == free:
            self._rung.set()

    def _ended(self, key: Key, _task: asyncio.Task[None]) -> None:
        del self._working[key]
        self._leased.discard(key)
        self._rung.set()

    async def _work(self, claim: Claim) -> None:
        """Call the handler and store what came of it; where that cannot be stored, the lease ends by itself."""
        handler = self._handlers.named(claim.handler)
        if handler is None:
            return
        with caught() as broken:
            if handler.transactional:
                failure = await self._in_handler_thread(lambda: self._runs.apply(claim, handler, now=self._clock()))
            elif handler.asynchronous:
                self._leased.add(claim.key)
                failure = await self._call_async(claim, handler)
            else:
                self._leased.add(claim.key)
                failure = await self._in_handler_thread(lambda: self._call_plain(claim, handler))
            if failure is not None:
                log.warning(
                    "%s failed for %s, attempt %d: %s", handler.name, claim.event.id, claim.attempts + 1, failure.text
                )
        if broken.error is not None:
            self._told(broken)

    async def _call_async(self, claim: Claim, handler: Handler) -> Failure | None:
        try:
            with caught() as failure:
                async with asyncio.timeout(self._retrying.handler_limit_s):
                    await handler.function(claim.event)
        except asyncio.CancelledError:
            # The loop is ending: give the run back on the spot, there is no later.
            with suppress(InboxUnavailable):
                self._runs.release(claim, now=self._clock())
            raise
        return await self.in_inbox_thread(lambda: self._store(claim, failure))

    def _call_plain(self, claim: Claim, handler: Handler) -> Failure | None:
        """Call and store in one thread, so that a success is stored even when the loop has ended meanwhile."""
        with caught() as failure:
            handler.function(claim.event)
        return self._store(claim, failure)

    def _store(self, claim: Claim, failure: Failure) -> Failure | None:
        if failure.error is None:
            self._runs.succeeded(claim, now=self._clock())
            return None
        self._runs.failed(claim, failure, now=self._clock())
        return failure

    async def _in_handler_thread(self, call: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._handler_threads, call)

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._retrying.lease_s / 3)
            keys = sorted(self._leased)
            with caught() as failure:
                if keys:
                    await self.in_inbox_thread(lambda keys=keys: self._runs.renew(keys, now=self._clock()))  # type: ignore[misc]
            if failure.error is not None:
                self._told(failure)

    async def _prune(self) -> None:
        while True:
            with caught() as failure:
                unclaimed = await self.in_inbox_thread(lambda: self._inbox.unclaimed_handlers(self._handlers.names()))
                if unclaimed:
                    log.warning("runs wait for handlers that are not registered here: %s", ", ".join(unclaimed))
                await self.in_inbox_thread(self._inbox.prune)
            if failure.error is not None:
                self._told(failure)
            await asyncio.sleep(PRUNE_EVERY_S)

    def _told(self, failure: Failure) -> float:
        """Log an error of the worker's own doing; return how long to wait now."""
        if isinstance(failure.error, InboxUnavailable):
            log.warning("the inbox is not available: %s", failure.error)
        elif isinstance(failure.error, RuntimeError) and "shutdown" in str(failure.error):
            self._stopping = True  # the interpreter is ending and gives no more threads
        else:
            log.error("the worker of the receiver goes on after an error", exc_info=failure.error)
        return PAUSE_WHEN_UNAVAILABLE_S
