"""The HTTP listener: uvicorn with uvloop and httptools, started and stopped by the composition root."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from esimhooks.server.api.router import Router
from esimhooks.server.app.connections import Connections, GuardedProtocol
from esimhooks.server.app.sockets import BACKLOG

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
        """Serve until `stop`, then finish the requests at hand."""
        with self._socket:
            sweeping = asyncio.create_task(self._connections.sweep(), name="connections")
            try:
                await self._listener.serve(sockets=[self._socket])
            finally:
                sweeping.cancel()

    async def started(self) -> None:
        """Return once requests are taken."""
        while not self._listener.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Take no more connections and end once the requests at hand are answered."""
        self._listener.should_exit = True
