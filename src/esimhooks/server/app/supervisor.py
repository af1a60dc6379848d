"""The supervisor: starts the loops of a node, and ends them in an order that loses nothing and sends nothing twice."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from esimhooks.server.delivery.dispatcher import Dispatcher
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.observe.log import get_logger
from esimhooks.server.runtime.loop import Loop

LAST_ROUND_S = 2.0
"""How long a loop may take to end its round at shutdown, before it is cut off: crashes do no harm there either."""

log = get_logger("supervisor")


class Supervisor:
    """Runs the loops of a node until stopped, and ends them in order: what makes work first, what finishes it last."""

    def __init__(
        self,
        *,
        jobs: Sequence[Loop],
        intake: Sequence[Loop],
        dispatching: Loop | None,
        dispatcher: Dispatcher | None,
        results: Loop | None,
    ) -> None:
        self._loops = [*jobs, *intake, *([dispatching] if dispatching else [])]
        self._dispatcher = dispatcher
        self._results = results
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run all loops; returns when they have ended after `stop`."""
        async with asyncio.TaskGroup() as first:
            if self._results is not None:
                first.create_task(self._results.run(), name="loop outcomes")
            async with asyncio.TaskGroup() as second:
                if self._dispatcher is not None:
                    second.create_task(self._dispatcher.attempts(), name="attempts")
                await self._run_until_stop()
                if self._dispatcher is not None:
                    with suppress(NotNow):
                        await self._dispatcher.drain()
                    self._dispatcher.dismiss()
            if self._results is not None:
                self._results.stop()

    async def _run_until_stop(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop.run(), name=f"loop {loop.name}") for loop in self._loops]
            await self._stop.wait()
            for loop in self._loops:
                loop.stop()
            _, late = await asyncio.wait(tasks, timeout=LAST_ROUND_S)
            for task in late:
                log.warning("loop.cut_off", task=task.get_name())
                task.cancel()

    def stop(self) -> None:
        """Begin to end: no new work, finish what is in flight, write it, release the lanes."""
        self._stop.set()
