"""A receiver that misbehaves on purpose: a real HTTP server on 127.0.0.1 that records every request.

    async with Receiver() as receiver:
        receiver.answer("/hook", script=[close_unanswered(), status(200)])
        ...
        await receiver.wait_for(2)

Each path answers by a script of behaviours, used in turn; the last one stays. Without a script it answers 200.
"""

import asyncio
import gzip
import socket
import ssl
import struct
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from http import HTTPStatus
from types import TracebackType
from typing import Self

from msgspec import Struct

from patience import patience_s
from reserved_port import ReservedPort

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; returns whether the connection is kept."""


class Received(Struct, frozen=True, kw_only=True):
    """One request. Header names are in lower case; `at` is in seconds since 1970; `connection` counts from 1."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int


REASONS = {int(known): known.phrase for known in HTTPStatus}


def _head(code: int, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {code} {REASONS.get(code, 'Odd')}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1")


def status(code: int = 200, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Behaviour:
    """Answer properly."""
    answer = _head(code, {"content-length": str(len(body)), **(headers or {})}) + body

    async def behave(writer: asyncio.StreamWriter) -> bool:
        writer.write(answer)
        await writer.drain()
        return True

    return behave


def redirect(to: str, code: int = 302) -> Behaviour:
    """Send the client elsewhere."""
    return status(code, headers={"location": to})


def too_many(retry_after: str, code: int = 429) -> Behaviour:
    """Ask the client to wait."""
    return status(code, headers={"retry-after": retry_after})


def raw(answer: bytes, *, keep: bool = False) -> Behaviour:
    """Answer with exactly these bytes, whatever they are."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        writer.write(answer)
        await writer.drain()
        return keep

    return behave


def hang() -> Behaviour:
    """Take the request and never answer."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        await asyncio.Event().wait()
        return False

    return behave


def close_unanswered() -> Behaviour:
    """Take the request and close."""
    return raw(b"")


def reset(after: bytes = b"") -> Behaviour:
    """Send these bytes, such as a status line, and reset the connection."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        writer.write(after)
        await writer.drain()
        # Closing with a linger time of 0 sends a reset instead of a proper end.
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return behave


def drip(head: bytes, piece: bytes, *, every_s: float) -> Behaviour:
    """Send `head` and then a piece from time to time, for ever."""

    async def behave(writer: asyncio.StreamWriter) -> bool:
        writer.write(head)
        while True:
            await writer.drain()
            await asyncio.sleep(every_s)
            writer.write(piece)

    return behave


def slow_headers(every_s: float = 0.05) -> Behaviour:
    """Send one letter of a header at a time."""
    return drip(b"HTTP/1.1 200 OK\r\nx-slow: ", b"a", every_s=every_s)


def slow_body(code: int = 200, every_s: float = 0.05) -> Behaviour:
    """Answer, then send one byte of the body at a time."""
    return drip(_head(code, {"content-length": "1000000"}), b"a", every_s=every_s)


def endless_body(code: int = 200) -> Behaviour:
    """Answer with a body that never ends, as fast as the client reads."""
    return drip(_head(code, {"transfer-encoding": "chunked"}), b"8000\r\n" + b"a" * 0x8000 + b"\r\n", every_s=0)


def interim_flood() -> Behaviour:
    """Send 100 Continue for ever."""
    return drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, every_s=0)


def gzip_bomb(megabytes: int = 100) -> Behaviour:
    """Answer with a small body that inflates to a large one."""
    return status(headers={"content-encoding": "gzip"}, body=gzip.compress(bytes(megabytes << 20), compresslevel=9))


def huge_header(kilobytes: int = 1024) -> Behaviour:
    """Answer with a header larger than any client takes."""
    return status(headers={"x-huge": "a" * (kilobytes << 10)})


class Receiver:
    """The server. Stopped and started again it keeps its port; `connections` counts all that were ever opened."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._port: ReservedPort | None = None
        self._tls = tls
        self._host = host
        self._scripts: dict[str, list[Behaviour]] = {}
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._came = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._port = ReservedPort(self._host)
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if self._port is not None:
            self._port.release()

    @property
    def port(self) -> int:
        """Where it listens, started or not."""
        assert self._port is not None
        return self._port.number

    def url(self, path: str = "/hook", *, host: str | None = None) -> str:
        """Return the URL of a path here."""
        return f"http{'s' if self._tls else ''}://{host or self._host}:{self.port}{path}"

    def answer(
        self,
        path: str = "/hook",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        script: Sequence[Behaviour] = (),
    ) -> None:
        """Set how a path answers from now on: by the script, or with this status, headers and body."""
        self._scripts[path] = list(script) or [_answer(status, headers=headers, body=body)]

    async def wait_for(self, count: int, timeout: float | None = None) -> list[Received]:  # noqa: ASYNC109 - it is the condition's limit
        """Return all requests as soon as there are `count` of them; `TimeoutError` if they do not come."""
        async with asyncio.timeout(timeout or patience_s()), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def start(self) -> None:
        """Listen, again on the same port."""
        self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls, backlog=1024)

    async def stop(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is not None:
            self._server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            # A client that goes away ends its connection; so does `stop`.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                async with aclosing(_requests(reader, self.connections)) as requests:
                    async for request in requests:
                        async with self._came:
                            self.received.append(request)
                            self._came.notify_all()
                        if not await self._behaviour(request.path)(writer):
                            break
        finally:
            self._serving.discard(task)
            writer.close()

    def _behaviour(self, path: str) -> Behaviour:
        script = self._scripts.get(path)
        if not script:
            return status()
        return script.pop(0) if len(script) > 1 else script[0]


async def _requests(reader: asyncio.StreamReader, connection: int) -> AsyncGenerator[Received, None]:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        yield Received(method=method, path=path, headers=headers, body=body, at=time.time(), connection=connection)


_answer = status
