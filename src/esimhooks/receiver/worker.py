"""The background of a receiver: claims runs that are due and has their handlers called, until it is stopped.

One asyncio task with its children, in the loop of the application or in a thread's own. Only the cancelling of this task,
or `stop`, ends it: not what a handler or the inbox does.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from esimhooks.receiver.calling import Calling
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.failures import Failure, caught, log
from esimhooks.receiver.handlers import Handlers
from esimhooks.receiver.inbox import Inbox
from esimhooks.receiver.runs import Claim, Key, Runs

AHEAD_S = 0.1
MAX_AHEAD = 100


class Pace:
    """Counts the ends of handlers. `ahead`: how many runs to claim beyond those that can begin at once.

    They are as many as will begin within a moment: quick handlers so share the cost of a claim, slow ones leave the work to
    whoever is free.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._ends = 0
        self.ahead = 0

    def count(self) -> None:
        """Record that a handler has ended."""
        self._ends += 1

    def measure(self) -> int:
        """Return `ahead`, brought up to date where the time since the last measuring is long enough."""
        now = self._clock()
        took_s = now - self._since
        if took_s >= AHEAD_S:
            self.ahead = min(MAX_AHEAD, int(self._ends / took_s * AHEAD_S))
            self._since, self._ends = now, 0
        return self.ahead


POLL_S = 1.0
"""How often runs are looked for without a notification: retries, and those of processes that died."""

PAUSE_WHEN_UNAVAILABLE_S = 1.0
PRUNE_EVERY_S = 3600.0
MAX_WAITING = 10
"""Runs that are claimed and not begun, as a multiple of what the pace allows to claim ahead; more are given back."""

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
        self._claimed: dict[Key, Claim] = {}
        """Runs that are ours until their outcome is recorded: some wait, some are at work."""

        self._waiting: deque[Claim] = deque()
        self._at_work: set[Key] = set()
        self._beginning: set[Key] = set()
        """Of those at work, the ones whose task has not run yet: a loop that ends may cancel it before."""

        self._again: dict[Key, Claim] = {}
        """Claims of runs that were claimed here already: a lease ran out in an outage, or a failure was just recorded."""

        self._pace = Pace(asyncio.get_running_loop().time)
        self._notified = asyncio.Event()
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._children = asyncio.TaskGroup()
        calling.recorded = self._on_recorded

    def notify(self) -> None:
        """Tell, from any thread, that something may be due."""
        with suppress(RuntimeError):  # the loop has just been closed: the run waits for the next start
            self._loop.call_soon_threadsafe(self._notified.set)

    async def run(self) -> None:
        """Work until `stop`, or until cancelled."""
        try:
            async with self._children as children:
                renewing = children.create_task(self._renew_leases(), name="esimhooks leases")
                pruning = children.create_task(self._prune(), name="esimhooks prune")
                await self._work_off()
                await self._release_waiting(0)
                pruning.cancel()
                while self._claimed:
                    await self._notice(None)
                renewing.cancel()
        except BaseException:
            if waiting := self._drop_waiting(0):
                with caught(InboxUnavailable):  # on the spot: the loop is ending, there is no later
                    self._runs.release(waiting, now=self._clock())
            raise

    def stop(self) -> None:
        """Claim nothing more, and end when the handlers that are at work have ended."""
        self._stopping = True
        self.notify()

    async def _work_off(self) -> None:
        while not self._stopping:
            pause_s = POLL_S
            with caught(Exception) as failure:
                await self._claim()
            if failure.error is not None:
                pause_s = self._log(failure)
            self._begin()
            await self._notice(pause_s)

    async def _notice(self, within_s: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):  # not wait_for, which swallows a cancelling that meets the result
                await self._notified.wait()
        self._notified.clear()

    async def _claim(self) -> None:
        names, ahead = self._handlers.names(), self._pace.measure()
        if len(self._waiting) > MAX_WAITING * ahead:  # handlers have become slow, others may be free
            await self._release_waiting(ahead)
        unrecorded = len(self._claimed) - len(self._at_work) - len(self._waiting)
        free = self._concurrency + ahead - len(self._at_work) - len(self._waiting)
        limit = min(free, MAX_UNRECORDED - unrecorded)
        if limit <= ahead // 2 or not names:
            return
        future = self._calling.submit(lambda: self._runs.claim(names, limit=limit, now=self._clock()))
        try:
            claims = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(self._give_back)
            raise
        for claim in claims:
            if claim.key in self._claimed:
                self._again[claim.key] = claim
            else:
                self._claimed[claim.key] = claim
                self._waiting.append(claim)

    def _give_back(self, future: Future[list[Claim]]) -> None:
        """Release claims that came when the loop had ended."""
        if not future.cancelled() and future.exception() is None:
            with caught(Exception):
                self._runs.release(future.result(), now=self._clock())

    def _begin(self) -> None:
        while self._waiting and len(self._at_work) < self._concurrency and not self._stopping:
            claim = self._waiting.popleft()
            self._at_work.add(claim.key)
            self._beginning.add(claim.key)
            task = self._children.create_task(self._work(claim), name=f"esimhooks {claim.handler}")
            task.add_done_callback(partial(self._on_ended, claim))

    async def _work(self, claim: Claim) -> bool:
        """See to one attempt, and return whether its outcome is being recorded.

        Where the inbox is away before its handler was called, the lease ends by itself.
        """
        self._beginning.discard(claim.key)
        handler = self._handlers.named(claim.handler)
        if handler is None:
            return False
        recorded = False
        with caught(Exception) as failure:
            recorded = await self._calling.attempt(claim, handler)
        if failure.error is not None:
            self._log(failure)
            await self._release([claim])
        return recorded

    def _on_ended(self, claim: Claim, task: asyncio.Task[bool]) -> None:
        self._at_work.discard(claim.key)
        self._pace.count()
        if task.cancelled():
            self._stopping = True  # as the loop is
            if claim.key in self._beginning:
                self._waiting.append(claim)
        elif not task.result():
            self._forget([claim])
        self._begin()
        if len(self._at_work) < self._concurrency or len(self._waiting) <= self._pace.ahead // 2:
            self._notified.set()

    def _on_recorded(self, claims: Sequence[Claim]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._forget, claims)

    def _forget(self, claims: Sequence[Claim]) -> None:
        """Drop runs that need nothing more here; not one that was claimed again since, while its handler hung."""
        for claim in claims:
            if self._claimed.get(claim.key) is claim:
                del self._claimed[claim.key]
                if (again := self._again.pop(claim.key, None)) is not None:
                    self._children.create_task(self._release([again]), name=f"esimhooks again {claim.handler}")
        if self._stopping or len(self._at_work) < self._concurrency:
            self._notified.set()

    async def _release_waiting(self, kept: int) -> None:
        if waiting := self._drop_waiting(kept):
            await self._release(waiting)

    def _drop_waiting(self, kept: int) -> list[Claim]:
        """Let go of claims that have not begun, but for the first ones, and return them."""
        dropped = [self._waiting.pop() for _ in range(len(self._waiting) - kept)]
        for claim in dropped:
            del self._claimed[claim.key]
        return dropped

    async def _release(self, claims: Sequence[Claim]) -> None:
        with caught(Exception) as failure:
            await self._calling.in_thread(lambda: self._runs.release(claims, now=self._clock()))
        if failure.error is not None:
            self._log(failure)
        self._notified.set()

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
                await self._calling.in_thread(self._maintain)
            if failure.error is not None:
                self._log(failure)
            await asyncio.sleep(PRUNE_EVERY_S)

    def _maintain(self) -> None:
        unclaimed = self._inbox.unclaimed_handlers(self._handlers.names())
        if unclaimed:
            log.warning("runs wait for handlers that are not registered here: %s", ", ".join(unclaimed))
        self._runs.advance_stalled(now=self._clock())
        if self._runs.undo_clock_error(now=self._clock()):
            self.notify()
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
