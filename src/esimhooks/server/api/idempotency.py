"""`Idempotency-Key` on POST: the first answer in 2xx is kept with what it did, and given again for the same request.

A middleware: requests come in, answers go out, unchanged where there is no key. What is refused or fails is undone and
not kept, so the same request may be tried again.
"""

import hashlib

import msgspec
from litestar import Response
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from esimhooks.server.api.auth import AnyRequest, Principal
from esimhooks.server.api.context import Context, context_of
from esimhooks.server.domain.errors import Refused
from esimhooks.server.manage.idempotency import Asked

HEADER = "idempotency-key"
REPLAYED = "idempotent-replayed"
LONGEST_KEY = 255


class Answer(Struct, array_like=True):
    """An answer as it is kept."""

    status: int
    media_type: str
    body: bytes


class Idempotency:
    """The outermost middleware of the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request out; with a key in one transaction with its answer, which is held back until the commit."""
        if scope["type"] != ScopeType.HTTP or not _has_key(scope):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        once = context_of(scope).once
        async with once.asked() as asked:
            scope["state"]["asked"] = asked
            await self._app(scope, receive, hold)
            answer = _answer(held)
            if 200 <= answer.status < 300:
                await once.commit(asked, msgspec.json.encode(answer))
        for message in held:
            await send(message)


async def replayed(request: AnyRequest, context: Context, caller: Principal) -> Response[bytes] | None:
    """Return the answer that the same request got before, or None; once it is known who is calling. Raises `Refused`."""
    asked: Asked | None = request.scope["state"].get("asked")
    if asked is None:
        return None
    query = request.scope["query_string"]
    told = b"\n".join([request.method.encode(), request.scope["raw_path"], query, await request.body()])
    fingerprint = hashlib.sha256(told).digest()
    kept = await context.once.begin(asked, caller.tenant, _key(request), fingerprint=fingerprint)
    if kept is None:
        return None
    answer = msgspec.json.decode(kept, type=Answer)
    return Response(
        answer.body, status_code=answer.status, media_type=answer.media_type or None, headers={REPLAYED: "true"}
    )


def _has_key(scope: Scope) -> bool:
    return scope.get("method") == "POST" and any(name == HEADER.encode() for name, _ in scope["headers"])


def _key(request: AnyRequest) -> str:
    told = request.headers.getall(HEADER, [])
    if len(told) != 1 or not 1 <= len(told[0]) <= LONGEST_KEY or not (told[0].isascii() and told[0].isprintable()):
        raise Refused.invalid(f"header:{HEADER}", f"expected one key of 1 to {LONGEST_KEY} printable ASCII characters")
    return str(told[0])


def _answer(held: list[Message]) -> Answer:
    status, media_type, body = 500, "", b""
    for message in held:
        if message["type"] == "http.response.start":
            status = message["status"]
            media_type = dict(message["headers"]).get(b"content-type", b"").decode("latin-1")
        elif message["type"] == "http.response.body":
            body += message["body"]
    return Answer(status, media_type, body)
