"""The sockets that a node listens on: bound before anything is built on them, so that the port is known."""

import socket
import time
from errno import EADDRINUSE

from esimhooks.server.domain.errors import Broken

BACKLOG = 2048
HANDED_ON_S = 5.0
"""How long to wait for processes of an earlier start, whose parent was killed, to stop listening."""


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound. Raises `Broken` where the address is taken."""
    return _bound(host, port, shared=False)


def shared(host: str, port: int, count: int) -> list[socket.socket]:
    """Return so many sockets that listen on one address, among which the system spreads connections (SO_REUSEPORT).

    All listen from the start, so that a connection waits until its process is there. Raises `Broken` where somebody else
    listens there.
    """
    deadline = time.monotonic() + HANDED_ON_S
    while True:
        try:
            _bound(host, port, shared=False).close()  # else two nodes would share a port without a word
            break
        except Broken as error:
            taken = isinstance(error.__cause__, OSError) and error.__cause__.errno == EADDRINUSE
            if not taken or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    first = _bound(host, port, shared=True)
    sockets = [first, *(_bound(host, first.getsockname()[1], shared=True) for _ in range(count - 1))]
    for one in sockets:
        one.listen(BACKLOG)
    return sockets


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol said, asyncio turns Nagle's algorithm off; it would hold small answers back for 40 ms.
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
