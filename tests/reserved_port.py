"""A port of this machine that stays a test's own while nobody listens on it.

A port that was looked up and let go is anybody's until it is bound again: another process may listen there meanwhile,
or have it as the near end of a connection.
"""

import asyncio
import socket
import sys
from types import TracebackType
from typing import Self


class ReservedPort:
    """Bound and not listened on: connections are refused until somebody who was given `number` listens, and again after.

    Linux lets others listen on it who bind with SO_REUSEADDR, as servers do; elsewhere it is let go at once.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, 0))
        self.number = int(self._socket.getsockname()[1])
        if sys.platform != "linux":
            self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let anybody have it."""
        self._socket.close()


async def listens(port: int) -> bool:
    """Return whether somebody takes connections on this port of 127.0.0.1."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
