"""The HTTP listener: uvicorn with uvloop and httptools, started and stopped by the composition root, and its sockets.

Sockets are bound before anything is built on them, so that the port is known.
"""

import asyncio
import contextlib
import gc
import socket
import time
from collections.abc import Iterator
from errno import EADDRINUSE

import uvicorn

from esimhooks.server.api.router import Router
from esimhooks.server.app.connections import Connections, GuardedProtocol
from esimhooks.server.domain.errors import Broken

BACKLOG = 2048
HANDOVER_S = 5.0
"""How long to wait for processes of an earlier start, whose parent was killed, to stop listening."""


def bind_shared_sockets(host: str, port: int, count: int) -> list[socket.socket]:
    """Return `count` sockets that listen on one address, among which the system spreads connections (SO_REUSEPORT).

    All listen from the start, so that a connection waits until its process is there. Raises `Broken` where another program
    listens there.
    """
    deadline = time.monotonic() + HANDOVER_S
    while True:
        try:
            bind_socket(host, port).close()  # else two nodes would share a port without a word
            break
        except Broken as error:
            taken = isinstance(error.__cause__, OSError) and error.__cause__.errno == EADDRINUSE
            if not taken or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    first = bind_socket(host, port, shared=True)
    sockets = [first, *(bind_socket(host, first.getsockname()[1], shared=True) for _ in range(count - 1))]
    for one in sockets:
        one.listen(BACKLOG)
    return sockets


def bind_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a socket that is bound, `shared` with others of this server. Raises `Broken` where the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol given, asyncio turns Nagle's algorithm off, which would delay small answers by 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise Broken(f"cannot listen on {host}:{port}: {error.strerror}. Choose another with --port") from error
    return bound


GRACE_S = 3
KEEP_ALIVE_S = 30


class _Listener(uvicorn.Server):
    """Uvicorn leaves signals alone: who started the server decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves an application on a socket that is bound."""

    def __init__(self, app: Router, listening: socket.socket, *, connections: Connections) -> None:
        self._socket = listening
        self._connections = connections

        class Guarded(GuardedProtocol):
            registry = connections

        config = uvicorn.Config(
            app,
            http=Guarded,
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            proxy_headers=False,
            ws="none",
        )
        self._listener = _Listener(config)

    async def run(self) -> None:
        """Serve until `stop`, then finish the requests in flight."""
        with self._socket:
            sweeping = asyncio.create_task(self._connections.sweep(), name="connections")
            try:
                await self._listener.serve(sockets=[self._socket])
            finally:
                sweeping.cancel()

    async def wait_until_started(self) -> None:
        """Return once requests are taken."""
        while not self._listener.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Take no more connections and end once the requests in flight are answered."""
        self._listener.should_exit = True


ALLOCATIONS = 20_000
"""After how many more objects than were freed the young ones are looked through (Python's default is 700)."""


def freeze_startup_objects() -> None:
    """Exempt what there is from collection, and collect the rest less often; once, when a process has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 20, 20)
