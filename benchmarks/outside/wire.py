"""A thin HTTP client: one request at a time over one kept connection. It knows nothing of what it speaks to."""

import asyncio
from typing import NamedTuple
from urllib.parse import urlsplit

LIMIT_S = 60.0


class Request(NamedTuple):
    """One POST: where to, further headers, and the body."""

    path: str
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection to `url`, opened by the first request."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, request: Request, *, method: str = "POST") -> tuple[int, bytes]:
        """Return status and body of the answer. Raises `OSError` or `TimeoutError` where none comes in a minute."""
        async with asyncio.timeout(LIMIT_S):
            if self._reader is None or self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            length = f"content-length: {len(request.body)}\r\n"
            head = f"{method} {request.path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n{length}{lines}\r\n"
            self._writer.write(head.encode() + request.body)
            answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            size = int(answer.partition("content-length:")[2].partition("\r\n")[0] or 0)
            return int(answer.split(" ", 2)[1]), await self._reader.readexactly(size)

    async def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()
