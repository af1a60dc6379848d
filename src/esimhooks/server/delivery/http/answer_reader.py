"""One answer, read as its bytes come: a status line that is HTTP counts, however odd the headers and the body are.

Bytes go in; status, headers and the beginning of the body come out, with whether the connection can carry another request.
Lenient on purpose: what a receiver has decided must not be lost to how it writes its headers. Does no I/O.
"""

import re

from httptools import HttpParserError, HttpResponseParser

from esimhooks.server.delivery.http.errors import NotHttp

MAX_HEAD_BYTES = 256 * 1024
"""How much may come before the status and headers that count are there."""
MAX_HEADERS = 1000
MAX_INTERIM = 20
"""Answers with a status below 200 that may precede the one that counts; a flood of them would starve the others."""
READ_BYTES = 64 * 1024
MAX_BODY_BYTES = 16 * 1024
MAX_LENGTH_DIGITS = 18

START = b"HTTP/1."
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?:[ \r][^\n]*)?\n")
HEAD_END = re.compile(rb"\r?\n\r?\n")
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

SWITCHING_PROTOCOLS = 101
WITHOUT_BODY = frozenset({SWITCHING_PROTOCOLS, 204, 304})


class AnswerReader:
    """Reads one answer. `status` is 0 until the headers that count have come; then `complete` says whether all of it has."""

    __slots__ = (
        "_buffer",
        "_chunks",
        "_head_bytes",
        "_interim",
        "_left",
        "_read",
        "body",
        "complete",
        "headers",
        "keeps_alive",
        "status",
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        """The first bytes of the body, as many as are kept."""
        self.complete = False
        self.keeps_alive = False
        """Whether the connection can carry another request once the answer is complete."""
        self._buffer = bytearray()
        self._head_bytes = 0
        self._interim = 0
        self._left = -1
        self._read = 0
        self._chunks: HttpResponseParser | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises `NotHttp` for what never becomes an answer."""
        if not self.status:
            self._head_bytes += len(data)
            data = self._read_head(data)
        if self.status and data:
            self._read_body(data)

    def end(self) -> None:
        """Nothing more comes: the connection has ended, or nothing waits for it any longer."""
        if self.status and not self.complete:
            self.complete, self.keeps_alive = True, False

    def _read_head(self, data: bytes) -> bytes:
        """Return what comes after the headers that count."""
        searched = max(0, len(self._buffer) - 3)
        self._buffer += data
        while True:
            if self._buffer.startswith((b"\r", b"\n")):
                self._buffer = self._buffer.lstrip(b"\r\n")
                searched = 0
            if self._buffer[: len(START)] != START[: len(self._buffer)]:
                raise NotHttp("no status line")
            end = HEAD_END.search(self._buffer, searched)
            if end is None:
                break
            head, rest = bytes(self._buffer[: end.end()]), bytes(self._buffer[end.end() :])
            if self._is_final(head):
                self._buffer.clear()
                return rest
            self._buffer, searched = bytearray(rest), 0
        if self._head_bytes > MAX_HEAD_BYTES:
            raise NotHttp("headers without end")
        return b""

    def _is_final(self, head: bytes) -> bool:
        """Take the status and headers, unless they are those of an interim answer."""
        line = STATUS_LINE.match(head)
        if line is None:
            raise NotHttp("no status line")
        status = int(line[2])
        if 100 <= status < 200 and status != SWITCHING_PROTOCOLS:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise NotHttp("interim answers without end")
            return False
        self.headers = _headers(head[line.end() :])
        self.status = status
        self._begin_body(newer=line[1] == b"1")
        return True

    def _begin_body(self, *, newer: bool) -> None:
        connection = self._values(b"connection")
        self.keeps_alive = b"close" not in connection if newer else b"keep-alive" in connection
        lengths, codings = set(self._values(b"content-length")), self._values(b"transfer-encoding")
        if self.status in WITHOUT_BODY:
            self.complete = True
            self.keeps_alive &= self.status != SWITCHING_PROTOCOLS
        elif codings == [b"chunked"] and not lengths:
            self._chunks = HttpResponseParser(self)
            self._chunks.feed_data(CHUNKED_HEAD)
        elif not codings and len(lengths) == 1 and _is_length(next(iter(lengths))):
            self._left = int(lengths.pop())
            self.complete = self._left == 0
        else:
            self.keeps_alive = False  # it ends with the connection
            # Where the headers contradict each other, what comes is not waited for.
            self.complete = bool(codings or lengths)

    def _values(self, wanted: bytes) -> list[bytes]:
        return [
            one.strip().lower() for name, value in self.headers if name.lower() == wanted for one in value.split(b",")
        ]

    def _read_body(self, data: bytes) -> None:
        self._read += len(data)
        if self.complete:
            self.keeps_alive = False  # more than was announced
            self.on_body(data)
        elif self._chunks is not None:
            try:
                self._chunks.feed_data(data)
            except HttpParserError:
                self.complete, self.keeps_alive = True, False
        else:
            self.on_body(data if self._left < 0 else data[: self._left])
            if self._left >= 0:
                self.keeps_alive &= len(data) <= self._left
                self._left = max(0, self._left - len(data))
                self.complete = self._left == 0
        if self._read > READ_BYTES and not self.complete:
            self.end()

    def on_body(self, data: bytes) -> None:
        """Keep the beginning of a body; called for every piece."""
        self.body += data[: max(0, MAX_BODY_BYTES - len(self.body))]

    def on_message_complete(self) -> None:
        """A body in chunks has ended."""
        self.complete = True

    def on_message_begin(self) -> None:
        """Something follows a body in chunks."""
        if self.complete:
            self.keeps_alive = False


def _headers(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers as they were written; raises `NotHttp` for more of them than any honest receiver sends."""
    lines = head.split(b"\n")
    if len(lines) > MAX_HEADERS + 2:
        raise NotHttp("headers without end")
    headers: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and headers:
            name, value = headers.pop()
            headers.append((name, value + b" " + line.strip()))
        elif text := line.strip():
            name, _, value = text.partition(b":")
            headers.append((name.rstrip(), value.strip()))
    return headers


def _is_length(text: bytes) -> bool:
    return text.isdigit() and len(text) <= MAX_LENGTH_DIGITS
