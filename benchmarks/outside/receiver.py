"""The receiver: a process that verifies nothing and notes when which event arrived.

Run as `python -m benchmarks.outside.receiver`; prints its port. Paths below /hang are never answered, below /fail with
500, all others with 200. `/-/count`, `/-/arrivals` and `/-/reset` are for whoever measures. Times are nanoseconds of the
monotonic clock, which all processes of a machine share.
"""

import asyncio
import json
import re
import time
from typing import cast

import uvloop

ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
OWN_ID = re.compile(rb'"bench_id": ?"([^"]+)"')
"""In the events of other senders, whose headers differ."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"

arrivals: list[tuple[str, int]] = []
bodies: list[str] = []
MAX_BODIES = 1000


class Connection(asyncio.Protocol):
    """One connection of the sender that is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: end + 2]
            length = LENGTH.search(head)
            after = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < after:
                return
            body, self._buffer = self._buffer[end + 4 : after], self._buffer[after:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/-/"):
            answer = _measured(path)
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
            return
        if path.startswith(b"/hang"):
            return
        if path.startswith(b"/fail"):
            self._transport.write(FAILED)
            return
        found = OWN_ID.search(body) or ID.search(head)
        arrivals.append((found[1].decode() if found else "", time.monotonic_ns()))
        if len(bodies) < MAX_BODIES:
            bodies.append(body.decode())
        self._transport.write(OK)


def _measured(path: bytes) -> bytes:
    if path == b"/-/count":
        return str(len(arrivals)).encode()
    if path == b"/-/bodies":
        return json.dumps(bodies).encode()
    answer = json.dumps(arrivals).encode()
    if path == b"/-/reset":
        arrivals.clear()
    return answer


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
