"""Sends requests over plain HTTP and brings back what was answered.

Nothing is judged. A connection that fails is an answer without a status; a redirect is not followed, no proxy used.
"""

import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import SplitResult

from msgspec import Struct

from esimhooks.cli.conformance.requests import Sending
from esimhooks.cli.options import connection_to, target_of

TIMEOUT_S = 10.0
PIECES = 8
SHOWN_CHARACTERS = 500
READ_BYTES = 65_536


class Way(StrEnum):
    """How several requests go out."""

    IN_TURN = "in_turn"
    TOGETHER = "together"
    ONE_CONNECTION = "one_connection"


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came back. `status` is None where nothing did, and `error` says why; `elapsed_s` is to the status line."""

    status: int | None
    elapsed_s: float
    error: str = ""
    body: str = ""
    """The beginning of the receiver's answer."""
    location: str = ""
    reached: bool = True
    """Whether there was a connection."""
    closes: bool = False
    """The receiver wants no further request on this connection."""


class Line:
    """Where requests go: one receiver."""

    def __init__(self, url: SplitResult, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._timeout_s = timeout_s

    def send(self, sendings: Sequence[Sending], way: Way = Way.IN_TURN) -> list[Answer]:
        """Send requests and return their answers."""
        match way:
            case Way.TOGETHER:
                with ThreadPoolExecutor(len(sendings)) as threads:
                    return list(threads.map(self.send_one, sendings))
            case Way.ONE_CONNECTION:
                return self._on_one_connection(sendings)
            case Way.IN_TURN:
                return [self.send_one(sending) for sending in sendings]

    def send_one(self, sending: Sending) -> Answer:
        """Send one request on a connection of its own."""
        return self._on_one_connection([sending])[0]

    def _on_one_connection(self, sendings: Sequence[Sending]) -> list[Answer]:
        connection = connection_to(self._url, timeout_s=self._timeout_s)
        try:
            return [_exchange(connection, target_of(self._url), sending) for sending in sendings]
        finally:
            connection.close()


def _exchange(connection: HTTPConnection, target: str, sending: Sending) -> Answer:
    started_at = time.monotonic()
    reached = False
    try:
        if connection.sock is None:
            connection.connect()
        reached = True
        connection.putrequest(sending.method, target, skip_accept_encoding=True)
        for name, value in sending.headers:
            connection.putheader(name, value)
        if sending.method != "GET":
            connection.putheader("content-length", str(len(sending.body)))
        connection.endheaders()
        finished_at = _send_body(connection, sending)
        response = connection.getresponse()
        elapsed_s = time.monotonic() - finished_at
        body = response.read(READ_BYTES).decode(errors="replace")[:SHOWN_CHARACTERS]
        response.read()
    except (OSError, HTTPException) as error:
        elapsed_s = time.monotonic() - started_at
        return Answer(status=None, elapsed_s=elapsed_s, error=_text_of(error), closes=True, reached=reached)
    return _answer(response, body, elapsed_s)


def _answer(response: HTTPResponse, body: str, elapsed_s: float) -> Answer:
    return Answer(
        status=response.status,
        elapsed_s=elapsed_s,
        body=body,
        location=response.headers.get("location", ""),
        closes=response.will_close,
    )


def _send_body(connection: HTTPConnection, sending: Sending) -> float:
    """Return the monotonic time of the end. A receiver that answers before the end may close: its answer is read."""
    pieces = PIECES if sending.over_s else 1
    size = -(-len(sending.body) // pieces) or 1
    try:
        for start in range(0, len(sending.body), size):
            if start:
                time.sleep(sending.over_s / pieces)
            connection.send(sending.body[start : start + size])
    except (BrokenPipeError, ConnectionResetError):
        pass
    return time.monotonic()


def _text_of(error: Exception) -> str:
    match error:
        case TimeoutError():
            return f"no answer within {TIMEOUT_S:g} s"
        case ConnectionRefusedError():
            return "connection refused"
        case socket.gaierror():
            return "the host name is not known"
        case ssl.SSLError():
            return f"TLS: {error.reason or error}"
        case _:
            return str(error) or type(error).__name__
