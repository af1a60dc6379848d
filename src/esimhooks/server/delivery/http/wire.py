"""The connections of the sender: what happens on them that aiohttp does not tell.

Comes in: bytes and the beginning of each exchange. Goes out: notes on the `Exchange` of the task that sends: how far it
got, what was dialled, whether the connection had been used before and whether anything came back on it.
"""

from asyncio import BaseTransport
from concurrent.futures import Future
from contextvars import ContextVar
from enum import Enum, auto
from typing import Any

from aiohttp import ServerDisconnectedError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage

from esimhooks.server.delivery.http.errors import GateRefused, NotHttp

MAX_INTERIM = 20
"""Answers with a status below 200 that may precede the one that counts; a flood of them would starve the others."""


MAX_HEAD_BYTES = 256 * 1024
"""How much may come before the status and headers that count are there, for the same reason."""

HEAD_END = b"\r\n\r\n"


class Stage(Enum):
    """How far an exchange got."""

    LOOKUP = auto()
    CONNECTING = auto()
    SENT = auto()


class Exchange:
    """What is noted of one attempt while it goes on."""

    __slots__ = ("dialled", "local", "lookup", "plain", "refusal", "stage", "wire")

    def __init__(self, *, plain: bool) -> None:
        self.plain = plain
        self.local = False
        self.stage = Stage.CONNECTING
        self.lookup: Future[list[str]] | None = None
        self.refusal: GateRefused | None = None
        self.dialled: str | None = None
        self.wire: Wire | None = None

    @property
    def was_stale(self) -> bool:
        """Whether a connection had been kept from an earlier exchange and nothing has come back on it for this one."""
        return self.wire is not None and self.wire.exchanges > 1 and not self.wire.heard


current: ContextVar[Exchange] = ContextVar("exchange")
"""The exchange of the running task. Set anew for each attempt, so it is never reset."""


class Wire(ResponseHandler):
    """One connection. aiohttp calls `set_response_params` once at the beginning of every exchange on it."""

    dialled: str | None = None
    exchanges = 0
    interim = 0
    heard = False
    answered = False
    """Whether status and headers that count have come."""
    head_bytes = 0
    last = b""
    """The end of what came before, should the end of the headers be split."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if peer:
            self.dialled = spelled(peer)

    def set_response_params(self, **params: Any) -> None:
        if self._buffer:
            # An answer that nobody asked for would be taken for the answer to this request.
            self._buffer.clear()
            self.set_exception(ServerDisconnectedError())
            if self.transport is not None:
                self.transport.close()
        self.exchanges += 1
        self.interim = 0
        self.heard = self.answered = False
        self.head_bytes = 0
        self.last = b""
        exchange = current.get()
        exchange.stage = Stage.SENT
        exchange.wire = self
        exchange.dialled = self.dialled
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        # aiohttp forgets headers that came together with something that is no HTTP, such as a body that a 204 must not
        # have. They are handed to it by themselves: what the receiver has decided must not depend on how it was packed.
        while not self.answered:
            size = (self.last + data).find(HEAD_END) + len(HEAD_END) - len(self.last)
            if not 0 < size < len(data):
                break
            before = self.interim
            self._take(data[:size])
            data = data[size:]
            if self.interim == before:
                break
        self._take(data)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        if data[0].code < 200 and data[0].code != 101:
            self.interim += 1
            if self.interim > MAX_INTERIM:
                self._give_up("interim answers without end")
                return
        else:
            self.answered = True
        super().feed_data(data, size)

    def _take(self, data: bytes) -> None:
        if self.exception() is not None:
            return  # it was closed over what came before
        if not self.answered:
            self.head_bytes += len(data)
            self.last = (self.last + data)[1 - len(HEAD_END) :]
            if self.head_bytes > MAX_HEAD_BYTES:
                self._give_up("headers without end")
                return
        super().data_received(data)

    def _give_up(self, why: str) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
            self.set_exception(NotHttp(why))


def spelled(peer: tuple[Any, ...]) -> str:
    """Return a socket address as `address:port`, the way it stands in a URL."""
    return f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
