"""Group commit: concurrent requests share one transaction.

While one commit is under way, arriving items collect for the next. Each caller gets its own result after the commit.
An item that fails its batch is found by trying the items one by one; the others are not affected.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.runtime.wake import Wake

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_QUEUE = 10_000

GATHER_S = 0.004
"""How much longer a batch waits for more items where the batch before had more than one; a single caller never waits."""


class GroupCommit(Generic[Item, Result]):
    """Collects items and hands them to `commit`, at most `largest` at a time, in the order they came."""

    def __init__(self, commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], *, largest: int = 200) -> None:
        self._commit = commit
        self._largest = largest
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._together = 0
        self.wake = Wake()

    async def submit(self, item: Item) -> Result:
        """Return the item's result once it is committed.

        Raises what `commit` raised for this item, and `NotNow` where too many wait already. The item is committed
        even if the caller has gone away.
        """
        if len(self._waiting) >= MAX_QUEUE:
            raise NotNow("more is coming in than the database can take", retry_after_s=1)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self.wake.notify()
        return await future

    async def commit_waiting(self) -> float:
        """Commit what waits; the work of the loop that waits on `wake`."""
        if self._together > 1 and len(self._waiting) < self._largest:
            await asyncio.sleep(GATHER_S)
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._largest))]
        self._together = len(batch)
        if batch:
            await self._commit_batch(batch)
        return 0.0 if self._waiting else 60.0

    async def _commit_batch(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        [outcome] = await asyncio.gather(self._commit([item for item, _ in batch]), return_exceptions=True)
        if not isinstance(outcome, BaseException):
            for (_, future), result in zip(batch, outcome, strict=True):
                if not future.done():
                    future.set_result(result)
        elif len(batch) == 1 or isinstance(outcome, NotNow):
            for _, future in batch:
                if not future.done():
                    future.set_exception(outcome)
        else:
            for one in batch:
                await self._commit_batch([one])
