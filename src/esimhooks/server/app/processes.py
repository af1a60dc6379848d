"""A node of several processes: a parent owns database and sockets, children do the work, and a dead one is replaced.

The children are alike, but that only the first has the role `scheduler`. Each has a socket of its own on the same address,
which the parent keeps open: connections that come while a child is replaced wait for its successor. A child whose parent
is gone finishes what is in flight and ends.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from math import ceil
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic

import uvloop

from esimhooks.server.app import server
from esimhooks.server.app.node import Running, running, url_of, working
from esimhooks.server.app.prepare import Prepared, prepare
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.domain.errors import Broken
from esimhooks.server.observe import log, metrics
from esimhooks.server.runtime.health import ProcessSlot, Siblings
from esimhooks.server.runtime.loop import Loop

READY = b"ready"
STOP_S = 30.0
"""How long a child may take to finish what is in flight, before it is killed."""
SOON_S = 10.0
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 10.0
"""One that ends soon after its start is started again after ever longer pauses."""

SHARED_LIMITS = ("max_in_flight", "connections", "connections_address")

OnStarted = Callable[[Running], None]

logger = log.get_logger("processes")


async def serve(settings: Settings, stop: asyncio.Event, *, on_started: OnStarted | None = None) -> None:
    """Run a node until `stop` is set, then drain it. Raises `Broken` where it cannot start."""
    if settings.processes == 1 or not settings.roles & {Role.API, Role.DISPATCHER}:
        async with running(settings, stop) as node:
            server.freeze_startup_objects()
            if on_started is not None:
                on_started(node)
            await stop.wait()
        return
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="esimhooks-"))
        stack.enter_context(metrics.shared(folder))
        prepared, loops = await prepare(settings, stack)
        family = Family(settings, prepared, Path(folder))
        if settings.metrics_port is not None:
            stack.callback(metrics.MetricsPort(settings.host, settings.metrics_port).close)
        await family.run(stop, loops, on_started)


class Family:
    """The children of a node, each with its socket where the node has the role `api`."""

    def __init__(self, settings: Settings, prepared: Prepared, folder: Path) -> None:
        self._settings = settings
        self._prepared = prepared
        self._folder = folder
        # A fork of a process that has only imported what it needs: quick, and most of the memory is shared.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._alive: dict[int, Connection] = {}
        self._sockets: list[socket.socket] = []
        if Role.API in settings.roles:
            self._sockets = server.bind_shared_sockets(settings.host, settings.port, settings.processes)

    async def run(self, stop: asyncio.Event, loops: list[Loop], on_started: OnStarted | None) -> None:
        """Keep all children alive until `stop`, then let them finish. Raises `Broken` where one does not start."""
        async with asyncio.TaskGroup() as group:
            started = [asyncio.get_running_loop().create_future() for _ in range(self._settings.processes)]
            for number, first in enumerate(started):
                group.create_task(self._supervise(number, first, stop), name=f"child {number}")
            tasks = [group.create_task(loop.run(), name=f"loop {loop.name}") for loop in loops]
            try:
                await asyncio.gather(*started)
                if on_started is not None and not stop.is_set():
                    on_started(self._running())
                await stop.wait()
            finally:
                stop.set()
                for one in self._sockets:
                    one.close()
                for loop in loops:
                    loop.stop()
                for task in tasks:
                    task.cancel()

    def _running(self) -> Running:
        return Running(
            url=url_of(self._settings, self._sockets[0] if self._sockets else None),
            admin_key=self._prepared.admin_key,
            admin_key_is_new=self._prepared.admin_key_is_new,
            data_dir=None if self._settings.database_url else self._settings.data_dir,
        )

    async def _supervise(self, number: int, first: "asyncio.Future[None]", stop: asyncio.Event) -> None:
        """Start a child, and another whenever it has ended by itself; `first` is done once one works or none is to."""
        await self._start_again(number, first, stop)
        if not first.done():
            first.set_result(None)

    async def _start_again(self, number: int, first: "asyncio.Future[None]", stop: asyncio.Event) -> None:
        pause = FIRST_PAUSE_S
        while not stop.is_set():
            began = monotonic()
            child, pipe = self._start(number)
            ready = await _receive(pipe)
            if ready == READY:
                if not first.done():
                    first.set_result(None)
                self._alive[number] = pipe
                self._signal_all()
                await self._wait_for_end(child, stop)
                self._alive.pop(number, None)
                self._signal_all()
            child.join()
            pipe.close()
            metrics.forget_process(child.pid or 0)
            if stop.is_set():
                return
            if not first.done():
                first.set_exception(Broken(f"a process of the server did not start (exit code {child.exitcode})"))
                return
            logger.error("process.ended", pid=child.pid, exit_code=child.exitcode, number=number)
            pause = FIRST_PAUSE_S if monotonic() - began > SOON_S else min(pause * 2, MAX_PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)

    def _start(self, number: int) -> tuple[ForkServerProcess, Connection]:
        parent_end, child_end = self._context.Pipe()
        child = self._context.Process(
            target=work,
            name=f"esimhooks {number}",
            args=(
                share_of(self._settings, number),
                self._prepared,
                ProcessSlot(self._folder, number, self._settings.processes),
                self._sockets[number] if self._sockets else None,
                child_end,
            ),
        )
        child.start()
        child_end.close()
        return child, parent_end

    async def _wait_for_end(self, child: ForkServerProcess, stop: asyncio.Event) -> None:
        """Return once the child has ended; after `stop` it is signalled, and killed should it take too long."""
        gone = asyncio.ensure_future(_readable(child.sentinel))
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((gone, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not gone.done():
                child.terminate()
                await asyncio.wait((gone,), timeout=STOP_S)
                child.kill()
            await gone
        finally:
            stopped.cancel()

    def _signal_all(self) -> None:
        """Send each child whether all of them are there: readiness is that of the whole node."""
        missing = self._settings.processes - len(self._alive)
        for pipe in self._alive.values():
            with suppress(OSError):
                pipe.send_bytes(bytes([missing]))


def share_of(settings: Settings, number: int) -> Settings:
    """Return the settings of one process: its roles, and its share of what the whole node may have open at a time."""
    roles = settings.roles if number == 0 else settings.roles - {Role.SCHEDULER}
    shared = {name: ceil(getattr(settings, name) / settings.processes) for name in SHARED_LIMITS}
    return settings.model_copy(update={"roles": roles, **shared})


async def _receive(pipe: Connection) -> bytes:
    """Return the next message, empty where the other side has ended."""
    await _readable(pipe.fileno())
    try:
        return pipe.recv_bytes()
    except (EOFError, OSError):
        return b""


async def _readable(descriptor: int) -> None:
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


def work(
    settings: Settings, prepared: Prepared, slot: ProcessSlot, listening: socket.socket | None, parent: Connection
) -> None:
    """Be a child until the parent says so or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the others in order
    uvloop.run(_work(settings, prepared, slot, listening, parent))


async def _work(
    settings: Settings, prepared: Prepared, slot: ProcessSlot, listening: socket.socket | None, parent: Connection
) -> None:
    log.configure(log_format=settings.log_format, level=settings.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    siblings = Siblings(slot)
    with _watching_parent(parent, siblings, stop):
        async with working(settings, prepared, stop, listening=listening, siblings=siblings):
            server.freeze_startup_objects()
            with suppress(OSError):  # where the parent is gone already, what has begun still ends in order
                parent.send_bytes(READY)
            await stop.wait()


@contextmanager
def _watching_parent(parent: Connection, siblings: Siblings, stop: asyncio.Event) -> Iterator[None]:
    def on_readable() -> None:
        try:
            siblings.missing = parent.recv_bytes()[0]
        except (EOFError, OSError):
            logger.warning("parent.gone", pid=os.getpid())
            loop.remove_reader(parent.fileno())
            stop.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(parent.fileno(), on_readable)
    try:
        yield
    finally:
        loop.remove_reader(parent.fileno())
