"""The background of a receiver: claims runs that are due and has their handlers called, until it is stopped.

One asyncio task with its children, in the loop of the application or in a thread's own. Only the cancelling of this task,
or `stop`, ends it: not what a handler or the inbox does.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from esimhooks.receiver.calling import Calling
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.handlers import Failure, Handlers, caught
from esimhooks.receiver.inbox import Inbox
from esimhooks.receiver.logs import log
from esimhooks.receiver.runs import Claim, Key, Runs

POLL_S = 1.0
"""How often runs are looked for that nobody has notified of: retries, and those of processes that died."""

PAUSE_WHEN_UNAVAILABLE_S = 1.0
PRUNE_EVERY_S = 3600.0
MAX_UNRECORDED = 500
"""Runs whose handler has ended and whose outcome waits for the inbox; with more, no others are begun."""


class Worker:
    """Works off one inbox with at most `concurrency` handlers at a time."""

    def __init__(
        self,
        runs: Runs,
        inbox: Inbox,
        handlers: Handlers,
        calling: Calling,
        *,
        concurrency: int,
        clock: Callable[[], float],
    ) -> None:
        self._runs = runs
        self._inbox = inbox
        self._handlers = handlers
        self._calling = calling
        self._concurrency = concurrency
        self._clock = clock
        self._claimed: dict[Key, asyncio.Task[None]] = {}
        self._at_work: set[Key] = set()
        self._notified = asyncio.Event()
        self._stopping = False
        self._loop = asyncio.get_running_loop()

    def notify(self) -> None:
        """Tell, from any thread, that something may be due."""
        with suppress(RuntimeError):  # the loop has just been closed: the run waits for the next start
            self._loop.call_soon_threadsafe(self._notified.set)

    async def run(self) -> None:
        """Work until `stop`, or until cancelled."""
        async with asyncio.TaskGroup() as children:
            renewing = children.create_task(self._renew_leases(), name="esimhooks leases")
            pruning = children.create_task(self._prune(), name="esimhooks prune")
            while not self._stopping:
                self._notified.clear()
                pause_s = POLL_S
                with caught(Exception) as failure:
                    await self._round(children)
                if failure.error is not None:
                    pause_s = self._log(failure)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._notified.wait(), pause_s)
            pruning.cancel()
            if self._claimed:
                await asyncio.wait(self._claimed.values())
            renewing.cancel()

    def stop(self) -> None:
        """Claim nothing more, and end when the handlers that are at work have ended."""
        self._stopping = True
        self.notify()

    async def _round(self, children: asyncio.TaskGroup) -> None:
        names = self._handlers.names()
        unrecorded = len(self._claimed) - len(self._at_work)
        free = min(self._concurrency - len(self._at_work), MAX_UNRECORDED - unrecorded)
        if free <= 0 or not names:
            return
        claims = await self._calling.in_thread(lambda: self._runs.claim(names, limit=free, now=self._clock()))
        if self._stopping and claims:
            await self._calling.in_thread(lambda: self._runs.release(claims, now=self._clock()))
            return
        for claim in claims:
            if (earlier := self._claimed.get(claim.key)) is not None:
                children.create_task(self._release_after(earlier, claim), name=f"esimhooks again {claim.handler}")
                continue
            self._at_work.add(claim.key)
            task = children.create_task(self._work(claim), name=f"esimhooks {claim.handler}")
            self._claimed[claim.key] = task
            task.add_done_callback(partial(self._recorded, claim.key))
        if len(claims) == free:
            self._notified.set()

    async def _work(self, claim: Claim) -> None:
        """See to one attempt; where the inbox is away before its handler was called, the lease ends by itself."""
        handler = self._handlers.named(claim.handler)
        if handler is None:
            return
        with caught(Exception) as failure:
            await self._calling.attempt(claim, handler, partial(self._ended, claim.key))
        if failure.error is not None:
            self._log(failure)
            with caught(Exception):
                await self._calling.in_thread(lambda: self._runs.release([claim], now=self._clock()))

    async def _release_after(self, earlier: asyncio.Task[None], claim: Claim) -> None:
        """Give back a run that is still at work here: its lease ran out in an outage, or its failure was just recorded."""
        await asyncio.wait({earlier})
        with caught(Exception) as failure:
            await self._calling.in_thread(lambda: self._runs.release([claim], now=self._clock()))
        if failure.error is not None:
            self._log(failure)
        self._notified.set()

    def _ended(self, key: Key) -> None:
        self._at_work.discard(key)
        self._notified.set()

    def _recorded(self, key: Key, _task: asyncio.Task[None]) -> None:
        self._ended(key)
        del self._claimed[key]

    async def _renew_leases(self) -> None:
        pause_s = self._runs.lease_s / 3
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._runs.lease_s / 3
            keys = [key for key in self._claimed if not self._is_transactional(key)]
            with caught(Exception) as failure:
                if keys:
                    await self._calling.in_thread(lambda keys=keys: self._runs.renew(keys, now=self._clock()))  # type: ignore[misc]
            if failure.error is not None:
                pause_s = min(pause_s, self._log(failure))

    def _is_transactional(self, key: Key) -> bool:
        """Whether the run's own transaction keeps others from it, and us from renewing it; it is short."""
        handler = self._handlers.named(key[1])
        return handler is not None and handler.transactional and key in self._at_work

    async def _prune(self) -> None:
        while True:
            with caught(Exception) as failure:
                await self._calling.in_thread(self._look_after)
            if failure.error is not None:
                self._log(failure)
            await asyncio.sleep(PRUNE_EVERY_S)

    def _look_after(self) -> None:
        unclaimed = self._inbox.unclaimed_handlers(self._handlers.names())
        if unclaimed:
            log.warning("runs wait for handlers that are not registered here: %s", ", ".join(unclaimed))
        self._runs.advance_stalled(now=self._clock())
        self._inbox.prune()

    def _log(self, failure: Failure) -> float:
        """Log an error of the worker's own doing; return how long to wait now."""
        if isinstance(failure.error, InboxUnavailable):
            log.warning("the inbox is not available: %s", failure.error)
        elif isinstance(failure.error, RuntimeError) and "shutdown" in str(failure.error):
            self._stopping = True  # the interpreter is ending and gives no more threads
        else:
            log.error("the worker of the receiver goes on after an error", exc_info=failure.error)
        return PAUSE_WHEN_UNAVAILABLE_S
