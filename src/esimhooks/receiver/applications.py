"""The receiver as an ASGI 3.0 application, and as a WSGI one (PEP 3333), which blocks; no framework is needed.

Messages or an environ come in, the answer of the intake goes out.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any

from esimhooks.receiver.intake import Answer, Intake

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Take = Callable[[bytes, Any], Awaitable[Answer]]


async def serve_asgi(scope: Scope, receive: Receive, send: Send, *, intake: Intake, take: Take) -> None:
    """Answer one HTTP request; nothing is answered to a client that goes away while sending."""
    headers = scope["headers"]
    length = next((value.decode("latin-1") for name, value in headers if name.lower() == b"content-length"), None)
    answer = intake.refuse_unread(scope["method"], length)
    if answer is None:
        body = bytearray()
        more = True
        while more and len(body) <= intake.max_body_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = intake.too_large() if len(body) > intake.max_body_bytes else await take(bytes(body), headers)
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.encode(), value.encode()) for name, value in answer.headers],
        }
    )
    await send({"type": "http.response.body", "body": answer.content})


async def serve_lifespan(
    receive: Receive, send: Send, *, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> None:
    """Start and stop with the server that runs the receiver as its one application."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await start()
            await send({"type": "lifespan.startup.complete"})
        else:
            await stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


StartResponse = Callable[..., Any]


def serve_wsgi(
    environ: dict[str, Any], start_response: StartResponse, *, intake: Intake, take: Callable[[bytes, Any], Answer]
) -> Iterable[bytes]:
    """Answer one HTTP request."""
    length = environ.get("CONTENT_LENGTH")
    answer = intake.refuse_unread(environ["REQUEST_METHOD"], length)
    if answer is None:
        body = _read(environ, length, intake.max_body_bytes)
        answer = intake.too_large() if len(body) > intake.max_body_bytes else take(body, environ)
    start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", answer.headers)
    return [answer.content]


def _read(environ: dict[str, Any], length: str | None, max_bytes: int) -> bytes:
    """Return the body, or one byte more than allowed. Without a length only servers that mark the end can be read."""
    left = int(length) if length else max_bytes + 1 if environ.get("wsgi.input_terminated") else 0
    left = min(left, max_bytes + 1)
    pieces: list[bytes] = []
    while left > 0:
        piece = environ["wsgi.input"].read(left)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
