"""A real HTTP server with answers decided beforehand, what one command came to, and the end of one that runs on."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit


class Done(NamedTuple):
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


Invoke = Callable[..., Done]
STOP_LIMIT_S = 30.0


@contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """Lend a process that is terminated with the context, and killed where it does not: nothing waits for it for ever."""
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


class RecordedRequest(NamedTuple):
    """One request; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Canned(NamedTuple):
    """One answer."""

    status: int
    body: bytes
    media_type: str = "application/json"


class CannedServer:
    """Listens on 127.0.0.1. Each method and path has answers that are used in turn; the last one stays."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self._answers: dict[str, list[Canned]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, where: str, *bodies: Any, status: int = 200) -> None:
        """Answer `GET /path` with these bodies in turn: bytes as they are, `Canned` whole, anything else as JSON."""
        media_type = "application/json" if status < 400 else "application/problem+json"
        self._answers[where] = [
            body
            if isinstance(body, Canned)
            else Canned(status, body if isinstance(body, bytes) else json.dumps(body).encode(), media_type)
            for body in bodies or [b""]
        ]

    def _take(self, request: RecordedRequest) -> Canned:
        self.requests.append(request)
        answers = self._answers.get(f"{request.method} {request.path}", [Canned(404, b"{}")])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline()
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                canned = take(
                    RecordedRequest(
                        self.command,
                        parts.path,
                        dict(parse_qsl(parts.query)),
                        {name.lower(): value for name, value in self.headers.items()},
                        json.loads(body) if body else None,
                    )
                )
                self.send_response(canned.status)
                self.send_header("content-type", canned.media_type)
                self.send_header("content-length", str(len(canned.body)))
                self.end_headers()
                self.wfile.write(canned.body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
                pass

        return Handler
