"""The HTTP listener: uvicorn with uvloop and httptools, started and stopped by the composition root."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from esimhooks.server.api.router import Router
from esimhooks.server.app.connections import Connections, GuardedProtocol
from esimhooks.server.domain.errors import Broken

BACKLOG = 2048
GRACE_S = 3
KEEP_ALIVE_S = 30


class _Listener(uvicorn.Server):
    """Uvicorn leaves signals alone: who started the server decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Listens on one address. The port is bound at once, so that it is known before the application is built."""

    def __init__(self, *, host: str, port: int, connections: Connections) -> None:
        self._socket = _bound(host, port)
        self._connections = connections
        self._server: _Listener | None = None

    def serve_app(self, app: Router) -> None:
        """Say what to serve, before `run`."""

        class Guarded(GuardedProtocol):
            registry = self._connections

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
        self._server = _Listener(config)

    @property
    def port(self) -> int:
        """The port that was bound, where 0 was asked for."""
        return int(self._socket.getsockname()[1])

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

    @property
    def _listener(self) -> _Listener:
        if self._server is None:
            raise Broken("the web server was started without an application")
        return self._server


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol said, asyncio turns Nagle's algorithm off; it would hold small answers back for 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise Broken(f"cannot listen on {host}:{port}: {error.strerror}. Choose another with --port") from None
    return bound
