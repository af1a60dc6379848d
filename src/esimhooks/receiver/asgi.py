"""The receiver as an ASGI application: messages of one scope in, messages out. ASGI 3.0; no framework is needed."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from esimhooks.receiver.intake import Answer, Intake

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Take = Callable[[bytes, Any], Awaitable[Answer]]


async def serve_request(scope: Scope, receive: Receive, send: Send, *, intake: Intake, take: Take) -> None:
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
