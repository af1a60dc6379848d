"""The generator: a process that posts events, as fast as answers come or at a fixed pace, and notes every answer.

Run as `python -m benchmarks.outside.generator` with a `Load` as JSON on standard input; prints a `Posted` list as JSON.
At a fixed pace the time of a post counts from when it was due, so that a server that stalls is charged for the wait.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import uvloop

from benchmarks.outside.adapter import Adapter, Esimhooks, Notifications
from benchmarks.outside.peers import Convoy, Outpost, Svix, WebhookX
from benchmarks.outside.wire import Wire

ADAPTERS: dict[str, Callable[[str], Adapter]] = {
    "esimhooks": Esimhooks,
    "notifications": Notifications,
    "svix": Svix,
    "outpost": Outpost,
    "webhookx": WebhookX,
    "convoy": Convoy,
}


class Generator:
    """Posts by a load: url, key, adapter, targets, connections, first, batch, and `posts` or `seconds`, `rate` (0 = none)."""

    def __init__(self, load: dict[str, Any]) -> None:
        self._load = load
        self._adapter: Adapter = ADAPTERS[load["adapter"]](load["key"])
        self._numbers = count()
        self._began = time.monotonic_ns()
        self.posted: list[tuple[list[str], int, int, int]] = []

    async def run(self) -> None:
        """Post over all connections until the load is done."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._load["connections"]):
                group.create_task(self._post())

    async def _post(self) -> None:
        load, wire = self._load, Wire(self._load["url"])
        targets = load["targets"]
        while (number := next(self._numbers)) < load["posts"]:
            due = time.monotonic_ns()
            if load["rate"]:
                due = self._began + int(number / load["rate"] * 1e9)
                await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
            if load["seconds"] and time.monotonic_ns() - self._began > load["seconds"] * 1e9:
                break  # what a slow server has not let in by now is not posted: the run ends in time
            first = load["first"] + number // len(targets) * load["batch"]
            request = self._adapter.event(targets[number % len(targets)], first, count=load["batch"])
            status, answer = await wire.post(request)
            ids = self._adapter.ids(request, answer) if status < 300 else []
            self.posted.append((ids, due, time.monotonic_ns(), status))
        await wire.close()


async def _main() -> None:
    generator = Generator(json.load(sys.stdin))
    await generator.run()
    json.dump(generator.posted, sys.stdout)


if __name__ == "__main__":
    uvloop.run(_main())
