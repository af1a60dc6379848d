"""What `listen` keeps of each request: immutable records, and a book that holds the last of them.

Nothing is sent or printed here. The book forgets the oldest where it would hold more than its bounds.
"""

import base64
import json
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import Any

import msgspec
from msgspec import Struct

Pairs = Sequence[tuple[str, str]]

MOST_KEPT = 200
MOST_BYTES = 16 * 1024 * 1024


class Request(Struct, frozen=True, kw_only=True):
    """One request as it came, or one event of the stream as the request that it will be."""

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
            told = msgspec.json.decode(self.body, type=_Named)
        except (msgspec.DecodeError, UnicodeDecodeError):
            told = _Named()
        return self.header("webhook-event") or told.event, self.header("webhook-id") or told.id


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


class Book:
    """The last requests, for the page and its replays. Safe to share between threads."""

    def __init__(self, *, most: int = MOST_KEPT, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
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
        """Keep one more, and forget the oldest beyond the bounds."""
        with self._lock:
            self._kept.append(captured)
            self._bytes += _size(captured)
            while len(self._kept) > self._most or (self._bytes > self._most_bytes and len(self._kept) > 1):
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
        "method": request.method,
        "target": request.target,
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
