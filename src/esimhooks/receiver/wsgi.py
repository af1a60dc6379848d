"""The receiver as a WSGI application (PEP 3333): an environ in, status, headers and body out. Blocks."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from esimhooks.receiver.intake import Answer, Intake

StartResponse = Callable[..., Any]


def serve_request(
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


def _read(environ: dict[str, Any], length: str | None, most: int) -> bytes:
    """Return the body, or one byte more than allowed. Without a length only servers that mark the end can be read."""
    left = int(length) if length else most + 1 if environ.get("wsgi.input_terminated") else 0
    left = min(left, most + 1)
    pieces: list[bytes] = []
    while left > 0:
        piece = environ["wsgi.input"].read(left)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
