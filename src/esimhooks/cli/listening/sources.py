"""Where the requests of `listen` come from: an HTTP server on 127.0.0.1 that takes any, or the server's stream of events.

Bytes come in, `Request`s go to the listener. The inspector answers what the listener got, or a status of its own. The
stream is server-sent events over one connection; one that is lost is opened again behind the last event, so that
nothing is missed, and a key that is refused ends it.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.client import HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Event
from typing import Any

from msgspec import Struct

from esimhooks.cli.client import Client
from esimhooks.cli.listening.captured import Answered, Request, signed
from esimhooks.cli.listening.listener import Listener
from esimhooks.cli.messages import Failed, Unreached

HOST = "127.0.0.1"
MAX_BODY_BYTES = 1024 * 1024
MAX_CONNECTIONS = 64
IDLE_S = 60.0
POLL_S = 0.1


class ListenerServer(ThreadingHTTPServer):
    """One thread a connection, up to a maximum; further ones wait to be accepted. Raises `Failed` for a taken port.

    `answer` is the default status of answers; `token` is a secret of its pages.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    timeout = POLL_S

    def __init__(
        self, port: int, handler: type[BaseHTTPRequestHandler], listener: Listener, *, answer: int = 200
    ) -> None:
        self.listener = listener
        self.answer = answer
        self.token = secrets.token_urlsafe(24)
        self._free = BoundedSemaphore(MAX_CONNECTIONS)
        try:
            super().__init__((HOST, port), handler)
        except OSError as error:
            raise Failed(f"cannot listen on {HOST}:{port}: {error.strerror}. Choose another port") from None
        self.url = f"http://{HOST}:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that disconnects is not reported."""


class Inspector:
    """Listens from the start; `run` serves until the listener is done."""

    def __init__(self, listener: Listener, *, port: int, answer: int = 200) -> None:
        self._listener = listener
        self._server = ListenerServer(port, _Handler, listener, answer=answer)
        self.url = self._server.url

    def run(self) -> None:
        """Serve until the listener is done or Ctrl-C."""
        with self._server:
            while not self._listener.done.is_set():
                self._server.handle_request()


class _Handler(BaseHTTPRequestHandler):
    server: "ListenerServer"
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def respond(self) -> None:
        body = self._body()
        if body is None:
            return
        request = Request(
            method=self.command,
            target=self.path,
            headers=tuple(self.headers.items()),
            body=body,
            at=datetime.now(UTC),
            read_s=time.monotonic() - self._began,
        )
        self._answer(self.server.listener.take(request))
        self.server.listener.counted()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = respond  # noqa: N815 - http.server's

    def parse_request(self) -> bool:
        self._began = time.monotonic()
        return super().parse_request()

    def _body(self) -> bytes | None:
        length = self.headers.get("content-length", "0")
        if self.headers.get("transfer-encoding"):
            refused = 411
        elif not (length.isascii() and length.isdecimal()) or len(length) > 12:
            refused = 400
        elif int(length) > MAX_BODY_BYTES:
            refused = 413
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            refused = 400
        self.close_connection = True
        self._send(refused, b"", "text/plain")
        return None

    def _answer(self, answered: Answered | None) -> None:
        if answered is None:
            self._send(self.server.answer, b"", "text/plain")
        elif answered.status is None or answered.status < 200:
            self._send(502, f"{answered.url}: {answered.error}\n".encode(), "text/plain")
        else:
            kind = answered.media_type if answered.media_type.isprintable() else ""
            self._send(answered.status, answered.body, kind or "application/octet-stream")

    def _send(self, code: int, body: bytes, media_type: str) -> None:
        self.send_response_only(code)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD" and code not in (204, 304):
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        pass


PATH = "/v1/stream"
MAX_LINE_BYTES = 1024 * 1024
FIRST_WAIT_S, MAX_WAIT_S = 0.5, 15.0


class StreamEvent(Struct, frozen=True):
    """One event of a stream; `data` is empty where there is only an id."""

    id: str
    event: str
    data: bytes


def events_of(lines: Iterator[bytes]) -> Iterator[StreamEvent]:
    """Return the events of a stream (WHATWG, server-sent events) from its lines; comments and `retry` are left out."""
    identity, event, data = "", "", list[bytes]()
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line:
            if data or identity:
                yield StreamEvent(identity, event, b"\n".join(data))
            identity, event, data = "", "", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match field:
            case b"id":
                identity = value.decode(errors="replace")
            case b"event":
                event = value.decode(errors="replace")
            case b"data":
                data.append(value)
            case _:
                pass


class Attached:
    """The stream of one key's account. With a `secret` each event gets the headers with which it is sent on."""

    def __init__(self, client: Client, listener: Listener, *, secret: str | None, note: Callable[[str], None]) -> None:
        self._client = client
        self._listener = listener
        self._secret = secret
        self._note = note
        self._last = ""
        self._pause = Event()

    def run(self) -> None:
        """Follow the stream until the listener is done or Ctrl-C.

        Raises `Failed` where the key is refused, or where nobody answers at first.
        """
        wait_s = 0.0
        attached = False
        while not self._listener.done.is_set():
            try:
                with self._client.follow(PATH, last_event_id=self._last) as response:
                    attached, wait_s = True, FIRST_WAIT_S
                    self._follow(response)
            except Unreached as error:
                if not attached:
                    raise
                self._note(f"{error}; trying again")
            except (OSError, HTTPException):
                self._note("the connection was lost; attaching again")
            if not self._listener.done.is_set():
                self._pause.wait(wait_s)
                wait_s = min(wait_s * 2, MAX_WAIT_S)

    def _follow(self, response: HTTPResponse) -> None:
        for one in events_of(_lines(response)):
            if one.data:
                self._take(one)
            # Only now: had this program ended before, the event would come again.
            self._last = one.id or self._last
            if self._listener.done.is_set():
                return

    def _take(self, one: StreamEvent) -> None:
        headers = signed(self._secret, one.data, event=one.event, identity=one.id) if self._secret else ()
        forwarder = self._listener.forwarder
        method, target = ("POST", forwarder.target) if forwarder else ("", "")
        self._listener.take(Request(method=method, target=target, headers=headers, body=one.data, at=datetime.now(UTC)))
        self._listener.counted()


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    while line := response.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) >= MAX_LINE_BYTES:
            raise Failed("the server's stream has a line of more than 1 MiB: is ESIMHOOKS_URL right?")
        yield line
