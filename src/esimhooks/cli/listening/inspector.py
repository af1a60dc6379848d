"""A small HTTP server on 127.0.0.1 that takes any request, has it looked at, and answers.

Bytes come in from sockets, `Request`s go to the desk. Without an address to forward to it answers what it was told to.
"""

import secrets
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import Any

from esimhooks.cli.listening.captured import Answered, Request
from esimhooks.cli.listening.desk import Desk
from esimhooks.cli.messages import Failed

HOST = "127.0.0.1"
MOST_BODY_BYTES = 1024 * 1024
MOST_CONNECTIONS = 64
IDLE_S = 60.0
LOOK_S = 0.1


class DeskServer(ThreadingHTTPServer):
    """One thread a connection, and only so many; further ones wait to be accepted. Raises `Failed` for a taken port.

    `answer` is the status of answers that nobody else decides; `word` is a secret of this server's pages.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    timeout = LOOK_S

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler], desk: Desk, *, answer: int = 200) -> None:
        self.desk = desk
        self.answer = answer
        self.word = secrets.token_urlsafe(24)
        self._places = BoundedSemaphore(MOST_CONNECTIONS)
        try:
            super().__init__((HOST, port), handler)
        except OSError as error:
            raise Failed(f"cannot listen on {HOST}:{port}: {error.strerror}. Choose another port") from None
        self.url = f"http://{HOST}:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self._places.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class Inspector:
    """Listens from the start; `run` serves until the desk is done."""

    def __init__(self, desk: Desk, *, port: int, answer: int = 200) -> None:
        self._desk = desk
        self._server = DeskServer(port, _Handler, desk, answer=answer)
        self.url = self._server.url

    def run(self) -> None:
        """Serve until the desk is done or Ctrl-C."""
        with self._server:
            while not self._desk.done.is_set():
                self._server.handle_request()


class _Handler(BaseHTTPRequestHandler):
    server: "DeskServer"
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def take(self) -> None:
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
        self._answer(self.server.desk.take(request))
        self.server.desk.counted()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = take  # noqa: N815 - http.server's

    def parse_request(self) -> bool:
        self._began = time.monotonic()
        return super().parse_request()

    def _body(self) -> bytes | None:
        length = self.headers.get("content-length", "0")
        if self.headers.get("transfer-encoding"):
            refused = 411
        elif not (length.isascii() and length.isdecimal()) or len(length) > 12:
            refused = 400
        elif int(length) > MOST_BODY_BYTES:
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
