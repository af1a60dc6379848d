"""The demo put together: database, server, receiver, sandbox, story and table start, run and end in this order.

A plan comes in, an exit code goes out; everything is made in a folder that is removed at the end.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path

import uvloop
from msgspec import Struct

from esimhooks.cli import demo_table, output
from esimhooks.cli.client import Client
from esimhooks.cli.demo_ledger import Bookkeeper, Ledger
from esimhooks.cli.demo_receiver import DemoReceiver
from esimhooks.cli.demo_story import PATIENCE_S, Plan, Story
from esimhooks.cli.serve import stop_on_signals
from esimhooks.server.app.node import Running, running
from esimhooks.server.app.settings import Settings
from esimhooks.server.providers.sandbox.sandbox import Sandbox

ENDLESS_WINDOW_S = 50.0
SHORTEST_WINDOW_S = 4.0
ENDING_S = 1.5
"""What stopping and counting take."""
GRACE_S = 3.0
"""How much longer lives may take on a slow machine before they are cut off."""
ARRIVAL_S = 15.0


class Wish(Struct, frozen=True, kw_only=True):
    """What the command line asks for. `started_at` is of the monotonic clock; no `for_s` means until Ctrl-C."""

    esims: int
    for_s: float | None
    started_at: float

    def plan(self) -> Plan:
        """Return the plan for what is left of the time."""
        if self.for_s is None:
            return Plan(esims=self.esims, window_s=ENDLESS_WINDOW_S, endless=True)
        left_s = self.started_at + self.for_s - time.monotonic() - ENDING_S
        return Plan(esims=self.esims, window_s=max(left_s, SHORTEST_WINDOW_S))


def run(wish: Wish) -> int:
    """Run the demo and return its exit code."""
    # The demo must not touch an installation that the environment describes.
    for name in [name for name in os.environ if name.startswith("ESIMHOOKS_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="esimhooks-demo-", ignore_cleanup_errors=True) as folder:
        return uvloop.run(_run(wish, Path(folder)))


async def _run(wish: Wish, folder: Path) -> int:
    stop = asyncio.Event()
    stop_on_signals(stop, insisting=False)
    settings = Settings.read(data_dir=folder, port=0, allow_networks="127.0.0.0/8", usage_interval=0, log_level="error")
    output.say(f"starting an embedded PostgreSQL and a server in {folder}")
    async with running(settings) as node:
        plan = wish.plan()
        sandbox = Sandbox(config=plan.sandbox())
        await sandbox.start()
        try:
            async with DemoReceiver() as receiver:
                operator = Client(node.url, node.admin_key, timeout_s=PATIENCE_S)
                story = Story(operator, sandbox, receiver, plan)
                merchant = await story.open()
                _announce(node, merchant, receiver)
                stage = _Stage(wish, receiver, sandbox, Bookkeeper(merchant, operator, receiver))
                ledger = await stage.play(story, stop, limit_s=None if plan.endless else plan.window_s + GRACE_S)
        finally:
            await sandbox.stop()
        view = stage.look()
    return _judge(ledger, view)


class _Stage:
    """Runs the story with its audience: the bookkeeper and the table."""

    def __init__(self, wish: Wish, receiver: DemoReceiver, sandbox: Sandbox, books: Bookkeeper) -> None:
        self._wish = wish
        self._receiver = receiver
        self._sandbox = sandbox
        self._books = books

    async def play(self, story: Story, stop: asyncio.Event, *, limit_s: float | None) -> Ledger:
        """Return the ledger after the story has ended, was stopped, or took `limit_s` seconds."""
        console = output.screen()
        async with asyncio.TaskGroup() as group:
            audience = [
                group.create_task(self._books.follow(), name="books"),
                group.create_task(demo_table.keep_showing(console, self.look), name="table"),
            ]
            await _until(stop, story.tell(), limit_s=limit_s)
            await story.settle()
            ledger = await self._books.close(within_s=ARRIVAL_S)
            for task in audience:
                task.cancel()
        return ledger

    def look(self) -> demo_table.View:
        """Return the counts of this moment."""
        sent = self._sandbox.sent
        return demo_table.View(
            after_s=time.monotonic() - self._wish.started_at,
            esims=self._receiver.esims,
            raised=self._books.raised,
            arrived=self._receiver.by_type,
            pending=self._books.pending,
            attempts=self._receiver.requests,
            notifications=len(sent),
            repeated=len(sent) - len({one.notify_id for one in sent}),
        )


async def _until(stop: asyncio.Event, work: Coroutine[None, None, None], *, limit_s: float | None) -> None:
    """Do the work until it is done, `stop` is set, or the time is over."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work, name="story")
        stopped = group.create_task(stop.wait(), name="stop")
        await asyncio.wait([working, stopped], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        stopped.cancel()


def _announce(node: Running, merchant: Client, receiver: DemoReceiver) -> None:
    output.say(f"esimhooks serves {node.url}")
    output.say(f"a merchant receives at {receiver.url}; to look at it from another terminal:")
    output.say(f"  export ESIMHOOKS_URL={node.url} ESIMHOOKS_API_KEY={merchant.key}")
    output.say("  esimhooks deliveries list")


def _judge(ledger: Ledger, view: demo_table.View) -> int:
    output.screen().print(demo_table.summary(ledger, view))
    faults = ledger.faults()
    if not faults:
        output.say(f"all {ledger.raised.total()} events arrived once, verified")
        return 0
    output.complain("\n".join(faults))
    return 1
