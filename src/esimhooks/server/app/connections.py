"""What strangers may take of the listener: the size of a head, the time for it, and the number of connections.

Connections and their bytes come in; what is within the limits is passed to uvicorn's parser, which has none of its own, and
all else is answered and closed. Nothing is decided here about who is calling.
"""

import asyncio
import resource
from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus
from time import monotonic
from typing import ClassVar

import httptools
import msgspec
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from esimhooks.server.api.http import BODY_S
from esimhooks.server.api.limits import network_of
from esimhooks.server.api.problems import PROBLEM, Problem
from esimhooks.server.observe.refused import RefusalKind, Refusals

MAX_TARGET_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
HEAD_S = 10.0
"""From the first byte of a head to its last."""
IDLE_S = 30.0
"""For a connection without a request, and for one whose caller reads nothing of an answer."""
SWEEP_EVERY_S = 1.0


class Refusal(Struct, frozen=True):
    """How a connection that goes beyond a limit is answered before it is closed."""

    status: HTTPStatus
    what: RefusalKind
    code: str
    detail: str


MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, RefusalKind.MALFORMED, "MALFORMED", "expected HTTP 1.1")
NO_HOST = Refusal(HTTPStatus.BAD_REQUEST, RefusalKind.MALFORMED, "MALFORMED", "expected exactly one Host header")
LONG_TARGET = Refusal(
    HTTPStatus.REQUEST_URI_TOO_LONG,
    RefusalKind.HEAD,
    "TOO_LARGE",
    f"expected an address of at most {MAX_TARGET_BYTES} bytes",
)
LARGE_HEAD = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    RefusalKind.HEAD,
    "TOO_LARGE",
    f"expected at most {MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes of them",
)
LATE_HEAD = Refusal(
    HTTPStatus.REQUEST_TIMEOUT, RefusalKind.TIMEOUT, "REQUEST_TIMEOUT", f"expected the headers within {HEAD_S:.0f} s"
)
FULL = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, RefusalKind.CONNECTION, "TOO_MANY_CONNECTIONS", "expected fewer connections"
)


class Connections:
    """The connections of one process, of which each address may have `max_per_address` (None: any number).

    Where one is too many, the one that has waited longest without a request makes room for it.
    """

    def __init__(self, *, max_connections: int, max_per_address: int | None, refusals: Refusals) -> None:
        self._max_connections = min(max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._max_per_address = max_per_address
        self._refusals = refusals
        self._all: set[GuardedProtocol] = set()
        self._by_address: defaultdict[str, set[GuardedProtocol]] = defaultdict(set)

    def admit(self, connection: "GuardedProtocol") -> bool:
        """Take a new connection in; false where there is no room for it."""
        same_address = self._by_address[connection.network]
        if self._max_per_address is not None and len(same_address) >= self._max_per_address:
            has_room = self._make_room(same_address)
        else:
            has_room = len(self._all) < self._max_connections or self._make_room(self._all)
        if has_room:
            self._all.add(connection)
            same_address.add(connection)
        elif not same_address:
            del self._by_address[connection.network]
        return has_room

    def remove(self, connection: "GuardedProtocol") -> None:
        """Stop counting a connection that has ended."""
        self._all.discard(connection)
        if (same_address := self._by_address.get(connection.network)) is not None:
            same_address.discard(connection)
            if not same_address:
                del self._by_address[connection.network]

    def note(self, refusal: Refusal, connection: "GuardedProtocol") -> None:
        """Leave a trace of what was refused."""
        self._refusals.note(refusal.what, connection.network)

    async def sweep(self) -> None:
        """Close what is late, for as long as the listener runs."""
        while True:
            now = monotonic()
            for connection in [one for one in self._all if one.deadline is not None and one.deadline <= now]:
                connection.expire()
            await asyncio.sleep(SWEEP_EVERY_S)

    def _make_room(self, among: Iterable["GuardedProtocol"]) -> bool:
        waiting = [(one.deadline, id(one), one) for one in among if one.deadline is not None]
        if not waiting:
            return False
        _, _, longest = min(waiting)
        self._refusals.note(RefusalKind.CONNECTION, longest.network)
        longest.transport.abort()
        self.remove(longest)
        return True


class ReadProtocol(HttpToolsProtocol):
    """A connection of uvicorn's whose caller must read what is answered.

    `deadline` (monotonic) is None while a request is worked on and its answer is read.
    """

    deadline: float | None = None
    _is_answering = False
    _unread_bytes = 0

    def pause_writing(self) -> None:
        """Wait for the caller to read, which it must in time."""
        super().pause_writing()
        self.deadline = monotonic() + IDLE_S

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        self.deadline = None if self._is_answering else monotonic() + IDLE_S

    def _has_unread(self) -> bool:
        """Return whether there is anything that the caller must still read; it has longer as long as it reads."""
        before, self._unread_bytes = self._unread_bytes, self.transport.get_write_buffer_size()
        if self._unread_bytes and not 0 < before <= self._unread_bytes:
            self.deadline = monotonic() + IDLE_S
        elif self._unread_bytes:
            self.transport.abort()  # closing it would wait for the caller to read
        return self._unread_bytes > 0


class GuardedProtocol(ReadProtocol):
    """A connection that keeps within the limits. Subclasses name the `registry` that counts them."""

    registry: ClassVar[Connections]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection in, or refuse it."""
        super().connection_made(transport)
        self.network = network_of(self.client[0]) if self.client else ""
        self.deadline = monotonic() + IDLE_S
        self._refusal: Refusal | None = None
        self._in_head = True
        self._head_bytes = 0
        self._bytes_after_head = 0
        self._header_bytes = 0
        self._hosts = 0
        if not self.registry.admit(self):
            self._refuse(FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self.registry.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give the parser no more of a head, or between the parts of a body, than it may have."""
        if self._refusal is not None:
            return
        if not self._in_head:
            self._bytes_after_head += len(data)
            if self._bytes_after_head > MAX_HEAD_BYTES + len(data):
                self._refuse(LARGE_HEAD)  # trailers without end
            else:
                super().data_received(data)
            return
        if self._head_bytes == 0:
            self.deadline = monotonic() + HEAD_S
        room = MAX_HEAD_BYTES - self._head_bytes
        self._head_bytes += len(data)
        super().data_received(data[:room])
        if len(data) <= room or self._refusal is not None:
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(LARGE_HEAD)
        else:
            super().data_received(data[room:])

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._header_bytes = self._hosts = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Limit the target."""
        super().on_url(url)
        if len(self.url) > MAX_TARGET_BYTES:
            self._end_parsing(LONG_TARGET)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Limit the headers, those behind a body included."""
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        self._hosts += name.lower() == b"host"
        if len(self.headers) > MAX_HEADERS or self._header_bytes > MAX_HEAD_BYTES:
            self._end_parsing(LARGE_HEAD)

    def on_headers_complete(self) -> None:
        """Let the request be worked on."""
        if self._hosts > 1 or (self._hosts == 0 and self.parser.get_http_version() != "1.0"):
            self._end_parsing(NO_HOST)
        self._in_head = False
        self._is_answering = True
        self._head_bytes = self._bytes_after_head = 0
        if not self.flow.write_paused:
            self.deadline = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        self._bytes_after_head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        super().on_message_complete()
        self._in_head = True
        if not self._is_answering:
            self.deadline = monotonic() + IDLE_S

    def on_response_complete(self) -> None:
        """Drop a body that was not read, and wait for its end or for the next request."""
        super().on_response_complete()
        self._is_answering = not self.cycle.response_complete
        if not self._is_answering:
            self.cycle.body = bytearray()
            self.deadline = monotonic() + (IDLE_S if self._in_head else BODY_S)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refuses, or what was refused while it parsed."""
        self._refuse(self._refusal or MALFORMED)

    def expire(self) -> None:
        """Close the connection, whose deadline is over."""
        if self._has_unread():
            return
        if self._in_head and self._head_bytes:
            self._refuse(LATE_HEAD)
        else:
            self.transport.close()
            self.deadline = None

    def _end_parsing(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise httptools.HttpParserError(refusal.detail)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, unless an answer is under way, and close."""
        self._refusal = refusal
        self.registry.note(refusal, self)
        if not self._is_answering:
            self.transport.write(_answer(refusal))
        self.transport.close()
        self.deadline = monotonic() + IDLE_S if self.transport.get_write_buffer_size() else None


def _answer(refusal: Refusal) -> bytes:
    status = refusal.status
    problem = Problem(
        type="about:blank", title=status.phrase, status=status, detail=refusal.detail, code=refusal.code, errors=()
    )
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\n"
        f"cache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
