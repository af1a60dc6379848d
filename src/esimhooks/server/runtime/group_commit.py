"""Group commit: concurrent requests share one transaction, and whoever sends much does not keep others waiting.

While one commit is on its way, arriving items collect for the next, one after the other from each owner. Each caller gets
its own result after the commit. An item that spoils its batch is found by halves; the others do not suffer.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from esimhooks.server.domain.errors import Conflicting, NotNow
from esimhooks.server.runtime.loop import Wake

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_QUEUE = 10_000

GATHER_S = 0.004
"""How much longer a batch waits for more items, where the one before had more than one; a single caller never waits."""


class _Waiting(Struct, Generic[Item, Result], frozen=True):
    item: Item
    weight: int
    future: asyncio.Future[Result]


class GroupCommit(Generic[Item, Result]):
    """Collects items and passes them to `commit`, in the order in which each owner submitted them.

    A batch weighs at most `max_weight`, but for one item that weighs more by itself; `weight_of` counts 1 for each item
    where it is not given. A batch without an urgent item waits `linger_s` for others to join it.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        max_weight: int = 200,
        weight_of: Callable[[Item], int] = lambda _: 1,
        linger_s: float = 0.0,
        is_urgent: Callable[[Item], bool] = lambda _: True,
    ) -> None:
        self._commit = commit
        self._max_weight = max_weight
        self._weight_of = weight_of
        self._waiting: dict[Hashable, deque[_Waiting[Item, Result]]] = {}
        self._count = 0
        self._together = 0
        self._linger_s = linger_s
        self._is_urgent = is_urgent
        self._flush = Wake()
        self.wake = Wake()

    @property
    def waiting(self) -> int:
        """How many wait for the next commit."""
        return self._count

    async def submit(self, item: Item, *, owner: Hashable = None) -> Result:
        """Return the item's result once it is committed; owners take turns in a batch.

        Raises what `commit` raised for this item, and `NotNow` where too much waits already. The item is committed
        even where the caller has gone away.
        """
        if self._count >= MAX_QUEUE:
            raise NotNow("requests arrive faster than the database can take them", retry_after_s=1)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(_Waiting(item, self._weight_of(item), future))
        self._count += 1
        self.wake.notify()
        if self._linger_s and (self._is_urgent(item) or self._count >= self._max_weight):
            self._flush.notify()
        return await future

    async def commit_waiting(self) -> float:
        """Commit what waits; the work of the loop that waits on `wake`."""
        if self._linger_s and self._count:
            await self._flush.wait(self._linger_s)
        elif self._together > 1 and self._count < self._max_weight:
            await asyncio.sleep(GATHER_S)
        batch = self._next_batch()
        self._together = len(batch)
        if batch:
            await self._finish(batch)
        return 0.0 if self._count else 60.0

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        weight = 0
        while self._waiting:
            owner, queue = next(iter(self._waiting.items()))
            if batch and weight + queue[0].weight > self._max_weight:
                break
            del self._waiting[owner]
            batch.append(queue.popleft())
            weight += batch[-1].weight
            if queue:
                self._waiting[owner] = queue  # behind the others
        self._count -= len(batch)
        return batch

    async def _finish(self, batch: Sequence[_Waiting[Item, Result]], *, again: bool = True) -> None:
        [outcome] = await asyncio.gather(self._commit([one.item for one in batch]), return_exceptions=True)
        if not isinstance(outcome, BaseException):
            for one, result in zip(batch, outcome, strict=True):
                if not one.future.done():
                    one.future.set_result(result)
        elif len(batch) > 1 and (isinstance(outcome, Conflicting) or not isinstance(outcome, NotNow)):
            half = len(batch) // 2
            await self._finish(batch[:half])
            await self._finish(batch[half:])
        elif isinstance(outcome, Conflicting) and again:
            await self._finish(batch, again=False)  # what it met may have been passing by
        else:
            for one in batch:
                if not one.future.done():
                    one.future.set_exception(outcome)
