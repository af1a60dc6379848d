"""The tasks of the sandbox: one task group that can be started and stopped from different places.

Coroutines come in and run under names. An error in any of them ends all, and `stop` raises it.
"""

import asyncio
from collections.abc import Coroutine


class Crew:
    """Owns every task of one sandbox."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make ready to take tasks."""
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(ready), name="sandbox")
        await ready.wait()

    def spawn(self, work: Coroutine[object, object, None], *, name: str) -> None:
        """Run a coroutine until it ends or `stop` cancels it."""
        self._group.create_task(work, name=name)

    async def stop(self) -> None:
        """Cancel what still runs and wait for its end. Raises what went wrong in a task."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, Exception):
            raise result

    async def _run(self, ready: asyncio.Event) -> None:
        async with self._group:
            ready.set()
            await asyncio.Event().wait()
