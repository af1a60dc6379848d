"""Sends a captured request on to an address on this machine or elsewhere, once, and brings back what it answered.

Redirects are not followed and no proxy of the environment is used. Whatever goes wrong is an answer without a status.
"""

import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult

from esimhooks.cli.listening.captured import Answered, Pairs, Request
from esimhooks.signing import signature_header
from esimhooks.version import __version__

TIMEOUT_S = 30.0
MOST_OF_ANSWER_BYTES = 65_536
OF_ONE_CONNECTION = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Forwarder:
    """One address that requests are forwarded to."""

    def __init__(self, url: SplitResult, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self.url = url.geturl()

    def forward(self, request: Request) -> Answered:
        """Send it on with its own method, headers and bytes."""
        started_at = time.monotonic()
        connection = self._connection()
        try:
            connection.putrequest(request.method, self._target, skip_accept_encoding=True)
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
                body=response.read(MOST_OF_ANSWER_BYTES),
            )
        except (OSError, HTTPException, ValueError) as error:
            return Answered(url=self.url, status=None, took_s=time.monotonic() - started_at, error=_said(error))
        finally:
            connection.close()

    @property
    def _target(self) -> str:
        return (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")

    def _connection(self) -> HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            return HTTPSConnection(host, port, timeout=self._timeout_s, context=ssl.create_default_context())
        return HTTPConnection(host, port, timeout=self._timeout_s)


def signed(secret: str, body: bytes, *, event: str, identity: str, attempt: int = 1) -> Pairs:
    """Return the headers of a webhook as the server would send it now. Raises `InvalidSecretError`."""
    moment = int(time.time())
    return (
        ("content-type", "application/json"),
        ("user-agent", f"esimhooks/{__version__}"),
        ("webhook-id", identity),
        ("webhook-timestamp", str(moment)),
        ("webhook-signature", signature_header([secret], message_id=identity, timestamp=moment, body=body)),
        ("webhook-event", event),
        ("webhook-attempt", str(attempt)),
    )


def _said(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "nobody listens there"
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return f"no HTTP answer ({type(error).__name__})"
