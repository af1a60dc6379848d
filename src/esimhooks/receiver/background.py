"""Where a receiver's worker lives: in the running event loop of an application, or in a thread with a loop of its own.

A way to make a worker comes in; `notify` and `stop` reach it from any thread. It does not work itself.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from esimhooks.receiver.failures import caught
from esimhooks.receiver.worker import Worker


class LoopBackground:
    """A worker as a task of the loop that runs now. Without `stop` it ends when the loop cancels its tasks."""

    def __init__(self, make: Callable[[], Worker]) -> None:
        self.worker = make()
        self.loop = asyncio.get_running_loop()
        self._task = self.loop.create_task(self.worker.run(), name="esimhooks receiver")

    @property
    def alive(self) -> bool:
        """Whether it still works."""
        return not self.loop.is_closed() and not self._task.done()

    async def stop(self, *, within_s: float) -> None:
        """Let handlers end, cancel those that do not. From any loop."""
        if self.loop is not asyncio.get_running_loop():
            self.worker.stop()
            return
        self.worker.stop()
        await asyncio.wait([self._task], timeout=within_s)
        if not self._task.done():
            self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


class ThreadBackground:
    """A worker in a thread. The thread does not keep the interpreter from ending.

    Raises `RuntimeError` where the system gives no thread, or no file handles for its loop.
    """

    def __init__(self, make: Callable[[], Worker]) -> None:
        self._made = threading.Event()
        self._not_made: BaseException | None = None
        self._make = make
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._live, name="esimhooks-receiver", daemon=True)
        self._thread.start()
        self._made.wait()
        if self._not_made is not None:
            raise RuntimeError(f"the worker of the receiver cannot be started: {self._not_made}") from self._not_made

    @property
    def alive(self) -> bool:
        """Whether it still works."""
        return self._thread.is_alive()

    def stop(self, *, within_s: float) -> None:
        """Let handlers end, cancel those that do not."""
        self.worker.stop()
        self._thread.join(within_s)
        if self._thread.is_alive():
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._cancel)
            self._thread.join(1.0)

    def _live(self) -> None:
        with caught() as failure, suppress(asyncio.CancelledError):
            asyncio.run(self._run())
        if not self._made.is_set():
            self._not_made = failure.error
            self._made.set()
        elif failure.error is not None:
            raise failure.error

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        self.worker = self._make()
        self._made.set()
        await self.worker.run()

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()
