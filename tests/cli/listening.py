"""A listener whose requests are collected, an inspector that runs beside a test, and a server of scripted event streams."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from esimhooks.cli.listening.captured import Captured, CaptureLog, Forwarder, Request
from esimhooks.cli.listening.listener import Listener, ListenerOptions
from esimhooks.cli.listening.sources import Inspector
from patience import patience_s

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Collected(NamedTuple):
    listener: Listener
    shown: list[Captured]


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def collecting(options: ListenerOptions | None = None, *, forward: str | None = None) -> Collected:
    shown: list[Captured] = []
    forwarder = None if forward is None else Forwarder(urlsplit(forward))
    return Collected(
        Listener(shown.append, captures=CaptureLog(), options=options or ListenerOptions(), forwarder=forwarder), shown
    )


def request(body: bytes, **headers: str) -> Request:
    return Request(method="POST", target="/", headers=tuple(headers.items()), body=body, at=datetime.now(UTC))


@contextmanager
def inspecting(listener: Listener, *, answer: int = 200) -> Iterator[str]:
    inspector = Inspector(listener, port=0, answer=answer)
    thread = Thread(target=inspector.run)
    thread.start()
    try:
        yield inspector.url
    finally:
        listener.done.set()
        thread.join()


def fetch(url: str, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=patience_s())
    try:
        connection.request(method, f"{parts.path}?{parts.query}".rstrip("?"), body=body, headers=headers or {})
        response = connection.getresponse()
        return Reply(response.status, dict(response.headers.items()), response.read())
    finally:
        connection.close()


class Streams:
    """Answers each request for a stream with the next script, and ends the connection."""

    def __init__(self, *scripts: bytes | int) -> None:
        self.last_ids: list[str | None] = []
        waiting = list(scripts)
        last_ids = self.last_ids

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                last_ids.append(self.headers.get("last-event-id"))
                script = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                self.send_response(script if isinstance(script, int) else 200)
                self.end_headers()
                self.wfile.write(script if isinstance(script, bytes) else b'{"title": "no", "detail": "not this key"}')

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
