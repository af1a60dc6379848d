"""The supervisor: starts the loops of a node, and ends them in an order that loses nothing and sends nothing twice."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from esimhooks.server.delivery.dispatcher import Dispatcher
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.observe.log import get_logger
from esimhooks.server.runtime.loop import Loop

LAST_ROUND_S = 2.0
"""How long a loop may take to end its round at shutdown, before it is cut off: crashes do no harm there either."""

log = get_logger("supervisor")


class Crew(Struct, frozen=True, kw_only=True):
    """The loops of a node by when they end: what makes work first, what finishes it last."""

    upkeep: Sequence[Loop]
    intake: Sequence[Loop]
    dispatching: Loop | None
    dispatcher: Dispatcher | None
    outcomes: Loop | None


class Supervisor:
    """Runs a crew until told to stop."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run all loops; returns when they have ended after `stop`."""
        crew = self._crew
        async with asyncio.TaskGroup() as first:
            if crew.outcomes is not None:
                first.create_task(crew.outcomes.run(), name="loop outcomes")
            async with asyncio.TaskGroup() as second:
                if crew.dispatcher is not None:
                    second.create_task(crew.dispatcher.attempts(), name="attempts")
                await self._run_until_stop(
                    [*crew.upkeep, *crew.intake, *([crew.dispatching] if crew.dispatching else [])]
                )
                if crew.dispatcher is not None:
                    with suppress(NotNow):
                        await crew.dispatcher.drain()
                    crew.dispatcher.dismiss()
            if crew.outcomes is not None:
                crew.outcomes.stop()

    async def _run_until_stop(self, loops: Sequence[Loop]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop.run(), name=f"loop {loop.name}") for loop in loops]
            await self._stop.wait()
            for loop in loops:
                loop.stop()
            _, late = await asyncio.wait(tasks, timeout=LAST_ROUND_S)
            for task in late:
                log.warning("loop.cut_off", task=task.get_name())
                task.cancel()

    def stop(self) -> None:
        """Begin to end: no new work, finish what is in flight, write it, release the lanes."""
        self._stop.set()
