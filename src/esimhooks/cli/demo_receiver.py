"""A merchant's receiver for the demo: a small HTTP server on 127.0.0.1 that trusts nobody.

Webhooks come in; each is verified with the public package `standardwebhooks`, which knows nothing of esimhooks, and
counted. It answers 200 to what it verified and 401 to everything else. It keeps what it got in memory.
"""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

IDLE_S = 60.0
MAX_BODY_BYTES = 262_144
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"


class Received(Struct):
    """What the receiver reads of an event."""

    id: str
    event: str


class DemoReceiver:
    """Listens while the context lasts. Until `trust` it refuses everything."""

    def __init__(self) -> None:
        self.requests = 0
        self.unverified = 0
        self.duplicates = 0
        self.altered = 0
        """Repeats whose body was not the same, byte for byte."""
        self.bodies: dict[str, bytes] = {}
        """The first body that came with each `webhook-id`."""
        self.types: dict[str, str] = {}
        """The type of each event that came."""
        self.url = ""
        self._webhook: Webhook | None = None
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_BODY_BYTES)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/webhooks/esim"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def trust(self, secret: str) -> None:
        """Take what is signed with this secret from now on."""
        self._webhook = Webhook(secret)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        # A connection that idles, breaks off or says what is no HTTP is closed, and no more; the end cancels the rest.
        with suppress(OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError, asyncio.CancelledError):
            while True:
                async with asyncio.timeout(IDLE_S):
                    headers, body = await _request(reader)
                    writer.write(OK if self._take(headers, body) else REFUSED)
                    await writer.drain()
        writer.close()

    def _take(self, headers: dict[str, str], body: bytes) -> bool:
        self.requests += 1
        if not self._verifies(headers, body):
            self.unverified += 1
            return False
        webhook_id = headers["webhook-id"]
        if webhook_id in self.bodies:
            self.duplicates += 1
            self.altered += body != self.bodies[webhook_id]
            return True
        self.bodies[webhook_id] = body
        event = msgspec.json.decode(body, type=Received)
        self.types[event.id] = event.event
        return True

    def _verifies(self, headers: dict[str, str], body: bytes) -> bool:
        if self._webhook is None:
            return False
        try:
            self._webhook.verify(body, headers)
        except (WebhookVerificationError, ValueError):  # it raises plain ones for what it cannot decode
            return False
        return True


async def _request(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    """Return headers, names in lower case, and body of the next request. Raises ValueError for what is no HTTP."""
    _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_BODY_BYTES:
        raise ValueError("a body of that size is no webhook")
    return headers, await reader.readexactly(length)
