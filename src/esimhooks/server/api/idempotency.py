"""`Idempotency-Key` on POST: the first answer in 2xx is kept with what it did, and given again for the same request.

Requests come in, answers go out. What is refused or fails is undone and not kept, so the same request may be tried again.
"""

import hashlib

import msgspec
from msgspec import Struct

from esimhooks.server.api.http import Answer, Request, Response, Stream
from esimhooks.server.api.router import Route
from esimhooks.server.domain.errors import Refused

HEADER = "idempotency-key"
REPLAYED = "idempotent-replayed"
LONGEST_KEY = 255


class Kept(Struct, array_like=True):
    """An answer as it is kept."""

    status: int
    media_type: str
    body: bytes


async def once_for_key(request: Request, route: Route) -> Answer:
    """Carry the request out in one transaction with its answer, or return the answer of before. Raises `Refused`."""
    once = request.context.once
    async with once.asked() as asked:
        await route.takes.read(request)
        parts = [request.method.encode(), request.raw_path, request.raw_query, await request.body()]
        fingerprint = hashlib.sha256(b"\n".join(parts)).digest()
        kept = await once.begin(asked, request.caller.tenant, _key(request), fingerprint=fingerprint)
        if kept is not None:
            before = msgspec.json.decode(kept, type=Kept)
            return Response(before.status, before.body, before.media_type, {REPLAYED: "true"})
        answer = await route.call(request)
        if isinstance(answer, Stream):
            raise TypeError("a stream cannot be answered once")
        if 200 <= answer.status < 300:
            await once.commit(asked, msgspec.json.encode(Kept(answer.status, answer.media_type, answer.body)))
        return answer


def _key(request: Request) -> str:
    lines = request.header_lines(HEADER)
    if len(lines) != 1 or not 1 <= len(lines[0]) <= LONGEST_KEY or not (lines[0].isascii() and lines[0].isprintable()):
        raise Refused.invalid(f"header:{HEADER}", f"expected one key of 1 to {LONGEST_KEY} printable ASCII characters")
    return lines[0]
