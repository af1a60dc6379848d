"""The short way: what nearly all requests are, a plain notification or update, is answered without the framework.

The framework costs such a request more than everything else at this edge. Whatever is not plain in its outer form
(another method, chunks, a query, an Idempotency-Key) goes on to the framework untouched. What is asked, in which order
it is checked and every refusal are the framework's, from the same functions (docs/decisions/0023).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable

import msgspec
from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from esimhooks.server.api import strict_json
from esimhooks.server.api.auth import AnyRequest, require_operator
from esimhooks.server.api.context import Context
from esimhooks.server.api.entry import BODY_S, LARGEST_BODY_BYTES, body_ended, body_late, note_use
from esimhooks.server.api.inbound import inbound_of, take_notification, take_updates
from esimhooks.server.api.problems import handle_ours, handle_unexpected
from esimhooks.server.domain.errors import EsimhooksError

Way = Callable[[AnyRequest, Context], Awaitable[bytes]]

UPDATES = "/v1/updates"
NOTIFICATIONS = "/providers/{name}/{token}"
NOTIFIED = re.compile(rb"/providers/[\w.~-]+/[\w.~-]+")
"""An inbound address in which nothing is escaped."""
OUT_OF_THE_ORDINARY = frozenset({b"transfer-encoding", b"idempotency-key", b"content-encoding", b"expect"})

_encode = msgspec.json.Encoder().encode


def short_way(app: ASGIApp, context: Context) -> ASGIApp:
    """Return an application that answers plain notifications and updates, and leaves all else to `app`."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        found = _way(scope) if scope["type"] == ScopeType.HTTP else None
        if found is None:
            await app(scope, receive, send)
            return
        way, scope["path_template"] = found
        request: AnyRequest = Request(scope, receive, send)
        try:
            body = await way(request, context)
        except EsimhooksError as error:
            await handle_ours(request, error).to_asgi_response(None, request)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - logged, and answered without detail
            await handle_unexpected(request, error).to_asgi_response(None, request)(scope, receive, send)
        else:
            await _send(send, body)
            if (caller := scope["state"].get("caller")) is not None:
                await note_use(context, caller)

    return answer


def _way(scope: HTTPScope) -> tuple[Way, str] | None:
    """Return what answers the request, and the template of its path; None where it is not plain."""
    if scope["method"] != "POST":
        return None
    told = list(scope["headers"])
    headers = dict(told)
    if len(headers) < len(told) or not OUT_OF_THE_ORDINARY.isdisjoint(headers):
        return None
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or not 0 < int(length) <= LARGEST_BODY_BYTES:
        return None
    if scope["path"] == UPDATES:
        plain = not scope["query_string"] and headers.get(b"content-type") == b"application/json"
        return (_updates, UPDATES) if plain else None
    return (_notification, NOTIFICATIONS) if NOTIFIED.fullmatch(scope["raw_path"]) else None


async def _updates(request: AnyRequest, context: Context) -> bytes:
    caller = await context.authenticator.principal(request)
    require_operator(caller)
    request.scope["state"]["caller"] = caller
    body = await _body(request)
    strict_json.check(body)
    return _encode(await take_updates(context, inbound_of(request, context, body)))


async def _notification(request: AnyRequest, context: Context) -> bytes:
    _, _, name, token = request.scope["path"].split("/")
    body = await _body(request)
    return await take_notification(context, name, token, inbound_of(request, context, body))


async def _body(request: AnyRequest) -> bytes:
    body, more = b"", True
    try:
        async with asyncio.timeout(BODY_S):
            while more:
                message = await request.receive()
                if message["type"] != "http.request":
                    raise body_ended()
                body += message["body"]
                more = message["more_body"]
    except TimeoutError:
        raise body_late() from None
    return body


async def _send(send: Send, body: bytes) -> None:
    """Answer with JSON, or with 204 where nothing is to be said."""
    length = [(b"content-length", str(len(body)).encode())] if body else []
    headers = [(b"content-type", b"application/json"), *length]
    await send({"type": "http.response.start", "status": 200 if body else 204, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
