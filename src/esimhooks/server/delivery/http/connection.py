"""One connection to a receiver: the bytes of a request go in, an answer comes out, then it is idle and can carry another.

Knows whether a request that failed on a kept connection can have been read: only one that cannot may be sent again.
"""

import asyncio
import socket
import ssl
import struct
from time import monotonic

from esimhooks.server.delivery.http.answer_reader import AnswerReader
from esimhooks.server.delivery.http.errors import NotHttp, Unanswered

BODY_S = 1.0
"""How long the body of an answer may take after its headers."""

TCP_INFO = getattr(socket, "TCP_INFO", None)
ACKNOWLEDGED_AT = 120
SENT_AT = 200
INFO_BYTES = 216
"""Where Linux says how many bytes were acknowledged, sent, and sent again (struct tcp_info)."""


class Connection(asyncio.Protocol):
    """A connection that is open. `dialled` is its address as `address:port`."""

    def __init__(self, sock: socket.socket, dialled: str | None) -> None:
        self.dialled = dialled
        self.exchanges = 0
        self.idle_since = 0.0
        self.was_unread = False
        """Whether the request that failed cannot have been read by the receiver's program."""
        self._socket = sock
        self._outset = _bytes_outstanding(sock)
        self._transport: asyncio.Transport | None = None
        self._answer: AnswerReader | None = None
        self._received = False
        self._headed: asyncio.Future[AnswerReader] | None = None
        self._ended: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def post(self, request: bytes) -> AnswerReader:
        """Send a request and return its answer once status and headers are there.

        Raises `NotHttp`, `Unanswered`, or the `OSError` with which the connection ended.
        """
        if self._transport is None:
            raise Unanswered
        self.exchanges += 1
        self._received = self.was_unread = False
        self._answer = AnswerReader()
        self._headed = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._headed

    async def start_tls(self, tls: ssl.SSLContext, name: str) -> None:
        """Speak TLS from here on, through a tunnel that has just been opened; `name` must be in the certificate."""
        transport, self._answer, self.exchanges = self._transport, None, 0
        if transport is None:
            raise Unanswered
        self._transport = await asyncio.get_running_loop().start_tls(transport, self, tls, server_hostname=name)

    async def finish(self, answer: AnswerReader) -> bool:
        """Wait for the body as far as it is read; return whether the connection is idle now and can be kept."""
        if not answer.complete:
            loop = asyncio.get_running_loop()
            self._ended = loop.create_future()
            limit = loop.call_later(BODY_S, _resolve, self._ended)
            try:
                await self._ended
            finally:
                limit.cancel()
                answer.end()
        self._answer = None
        if answer.keeps_alive and self._transport is not None and not self._transport.get_write_buffer_size():
            self.idle_since = monotonic()
            return self.is_open
        self.abort()
        return False

    def abort(self) -> None:
        """Close at once, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream's, always
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        self._received = True
        if answer is None:
            self.abort()  # an unrequested answer would be taken for the one to the next request
            return
        try:
            answer.feed(data)
        except NotHttp as error:
            self._fail(error)
            self.abort()
            return
        if answer.status and self._headed is not None and not self._headed.done():
            self._headed.set_result(answer)
        if answer.complete:
            _resolve(self._ended)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None:
            if self.exchanges > 1 and not self._received:
                outstanding = _bytes_outstanding(self._socket)
                known = outstanding is not None and self._outset is not None
                self.was_unread = outstanding > self._outset if known else exc is not None  # type: ignore[operator]
            self._answer.end()
            self._fail(exc or Unanswered())
            _resolve(self._ended)
        self._transport = None

    def _fail(self, error: Exception) -> None:
        if self._headed is not None and not self._headed.done():
            self._headed.set_exception(error)


def _resolve(future: "asyncio.Future[None] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _bytes_outstanding(sock: socket.socket) -> int | None:
    """Return how many bytes were sent that the other side's system has not acknowledged, off by what opening it counts.

    None where the system does not know. It still does after the connection has been reset.
    """
    if TCP_INFO is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, INFO_BYTES)
    except OSError:
        return None
    if len(info) < INFO_BYTES:
        return None
    acknowledged, sent, again = (struct.unpack_from("Q", info, at)[0] for at in (ACKNOWLEDGED_AT, SENT_AT, SENT_AT + 8))
    return int(sent - again - acknowledged)
