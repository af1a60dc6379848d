"""What `listen` keeps of each request, and sending one on: immutable records, and a log of the last of them.

Nothing is printed here. The log drops the oldest beyond its bounds. What is sent on goes out
once, without redirects or a proxy of the environment; whatever goes wrong is an answer without a status.
"""

import base64
import json
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from http.client import HTTPException
from threading import Lock
from typing import Any
from urllib.parse import SplitResult

import msgspec
from msgspec import Struct

from esimhooks.cli.options import connection_to, target_of
from esimhooks.signing import signature_header
from esimhooks.version import __version__

Pairs = Sequence[tuple[str, str]]

MAX_KEPT = 200
MAX_KEPT_BYTES = 16 * 1024 * 1024


class Request(Struct, frozen=True, kw_only=True):
    """One request as it came, or as it goes out; an event that is only shown has neither method nor target nor headers."""

    method: str
    target: str
    headers: Pairs
    body: bytes
    at: datetime
    """When its last byte was read, aware UTC."""
    read_s: float = 0.0
    """From its first byte to its last."""

    def header(self, name: str) -> str:
        """Return the first header of that name in lower case, or nothing."""
        return next((value for given, value in self.headers if given.lower() == name), "")

    @property
    def event(self) -> tuple[str, str]:
        """Type and id of the event, from the headers or the body; empty where it is none."""
        try:
            named = msgspec.json.decode(self.body, type=_Named)
        except (msgspec.DecodeError, UnicodeDecodeError):
            named = _Named()
        return self.header("webhook-event") or named.event, self.header("webhook-id") or named.id


class Verification(Struct, frozen=True):
    """Whether a request verifies; `why` is for people, `reason` for programs."""

    verified: bool
    why: str
    reason: str | None = None


class Answered(Struct, frozen=True, kw_only=True):
    """What the address answered that a request was forwarded to. `status` is None where nothing came."""

    url: str
    status: int | None
    took_s: float
    media_type: str = ""
    body: bytes = b""
    error: str = ""


class Captured(Struct, frozen=True, kw_only=True):
    """One request with what came of it. `number` counts from 1; `replays` is the number that it is sent again of."""

    number: int
    request: Request
    verification: Verification | None = None
    answered: Answered | None = None
    replays: int | None = None


class _Named(Struct):
    event: str = ""
    id: str = ""


class CaptureLog:
    """The last requests, for the page and its replays. Safe to share between threads."""

    def __init__(self, *, max_kept: int = MAX_KEPT, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_kept = max_kept
        self._max_bytes = max_bytes
        self._kept: deque[Captured] = deque()
        self._bytes = 0
        self._lock = Lock()
        self.count = 0
        """How many numbers were given out."""

    def number(self) -> int:
        """Return the next number."""
        with self._lock:
            self.count += 1
            return self.count

    def keep(self, captured: Captured) -> None:
        """Add one, and drop the oldest beyond the bounds."""
        with self._lock:
            self._kept.append(captured)
            self._bytes += _size(captured)
            while len(self._kept) > self._max_kept or (self._bytes > self._max_bytes and len(self._kept) > 1):
                self._bytes -= _size(self._kept.popleft())

    def after(self, number: int) -> list[Captured]:
        """Return those with a higher number, oldest first."""
        with self._lock:
            return sorted((one for one in self._kept if one.number > number), key=lambda one: one.number)

    def find(self, number: int) -> Captured | None:
        """Return the one of that number while it is kept."""
        with self._lock:
            return next((one for one in self._kept if one.number == number), None)


def as_json(captured: Captured) -> dict[str, Any]:
    """Return a record as JSON values: what `--json` prints and the page shows."""
    request, answered = captured.request, captured.answered
    kind, identity = request.event
    return {
        "number": captured.number,
        "receivedAt": request.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "method": request.method or None,
        "target": request.target or None,
        "headers": [list(pair) for pair in request.headers],
        "event": kind or None,
        "eventId": identity or None,
        "readMs": round(request.read_s * 1000, 1),
        "verification": captured.verification,
        "forwarded": answered
        and {
            "url": answered.url,
            "status": answered.status,
            "durationMs": round(answered.took_s * 1000, 1),
            "error": answered.error or None,
            **_text(answered.body),
        },
        "replayOf": captured.replays,
        **_text(request.body),
    }


def pretty(body: bytes) -> str:
    """Return a body as text for people: JSON indented, anything else as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body.decode(errors="backslashreplace")


def _text(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(body).decode()}


def _size(captured: Captured) -> int:
    answer = len(captured.answered.body) if captured.answered else 0
    return len(captured.request.body) + answer + sum(len(name) + len(value) for name, value in captured.request.headers)


TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 65_536
OF_ONE_CONNECTION = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Forwarder:
    """One address that requests are forwarded to."""

    def __init__(self, url: SplitResult, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self.url = url.geturl()
        self.target = target_of(url)

    def forward(self, request: Request) -> Answered:
        """Send it on with its own method, headers and bytes."""
        started_at = time.monotonic()
        connection = connection_to(self._url, timeout_s=self._timeout_s)
        try:
            connection.putrequest(request.method, self.target, skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() not in OF_ONE_CONNECTION:
                    connection.putheader(name, value.encode("latin-1"))
            connection.putheader("content-length", str(len(request.body)))
            connection.endheaders(request.body)
            response = connection.getresponse()
            took_s = time.monotonic() - started_at
            return Answered(
                url=self.url,
                status=response.status,
                took_s=took_s,
                media_type=response.getheader("content-type", ""),
                body=response.read(MAX_ANSWER_BYTES),
            )
        except (OSError, HTTPException, ValueError) as error:
            return Answered(url=self.url, status=None, took_s=time.monotonic() - started_at, error=_describe(error))
        finally:
            connection.close()


def signed(secret: str, body: bytes, *, event: str, identity: str, attempt: int = 1) -> Pairs:
    """Return the headers of a webhook as the server would send it now. Raises `InvalidSecretError`."""
    at = int(time.time())
    return (
        ("content-type", "application/json"),
        ("user-agent", f"esimhooks/{__version__}"),
        ("webhook-id", identity),
        ("webhook-timestamp", str(at)),
        ("webhook-signature", signature_header([secret], message_id=identity, timestamp=at, body=body)),
        ("webhook-event", event),
        ("webhook-attempt", str(attempt)),
    )


def _describe(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "nobody listens there"
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return f"no HTTP answer ({type(error).__name__})"
