"""The stream of an account's events as they are committed: `/v1/stream`, server-sent events, for `esimhooks listen`.

Each event has the webhook's own bytes and its id; a client that names the last id it saw gets all that followed.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from time import monotonic
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.bodies import id_in
from esimhooks.server.api.events import position_after
from esimhooks.server.api.http import Request, Stream
from esimhooks.server.api.parameters import Header
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.manage.streams import Streams
from esimhooks.server.runtime.health import Health
from esimhooks.server.store import events
from esimhooks.server.store.database import Database

PAGE = 20
POLL_S = 1.0
"""How long a revoked key may go on listening at most, beside the second for which keys are remembered."""
ALIVE_EVERY_S = 15.0
HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}


routes = Routes(BY_KEY)


@routes.get("/v1/stream", media_type="text/event-stream")
async def stream(
    request: Request,
    database: Database,
    tenant: Tenant,
    last_event_id: Annotated[str, Header("Last-Event-ID"), Meta(max_length=64)] | None = None,
) -> Stream:
    """Stream events as they are committed, from now on or after `Last-Event-ID`."""
    async with database.session() as db:
        if last_event_id:
            begin = id_in("header:last-event-id", Prefix.EVENT, last_event_id)
            position = await position_after(db, tenant, begin, "header:last-event-id")
        else:
            begin, position = await events.newest(db, tenant) or (UUID(int=0), 0)
    stream = _frames(request, tenant, begin, position)
    first = await anext(stream)  # refused before the answer begins, where too many listen
    return Stream(_with_first(first, stream), "text/event-stream", dict(HEADERS))


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield first
    async for one in rest:
        yield one


async def _frames(request: Request, tenant: Tenant, begin: UUID, position: int) -> AsyncGenerator[bytes, None]:
    streams: Streams = request.services[Streams]
    database: Database = request.services[Database]
    with streams.listening(tenant) as wake:
        # An id without data: whoever is cut off before the first event misses nothing either.
        yield f"retry: 1000\nid: {text_of(Prefix.EVENT, begin)}\n\n".encode()
        sent_at = monotonic()
        while await _may_continue(request):
            try:
                async with database.session() as db:
                    rows = await events.page_after(db, tenant, EventFilter(), after=position, limit=PAGE)
            except NotNow:  # the client comes back with the last id
                return
            for event in rows:
                yield _frame(event)
                position, sent_at = event.position, monotonic()
            if rows:
                continue
            await wake.wait(POLL_S)
            if monotonic() - sent_at >= ALIVE_EVERY_S:
                sent_at = monotonic()
                yield b": alive\n\n"


async def _may_continue(request: Request) -> bool:
    """Whether the node stays and the key is still one that may listen."""
    authenticator: Authenticator = request.services[Authenticator]
    health: Health = request.services[Health]
    if health.draining:
        return False
    try:
        await authenticator.check_again(request)
    except (Refused, NotNow):
        return False
    return True


def _frame(event: Event | Unreadable) -> bytes:
    if isinstance(event, Unreadable):  # an id without data: the client passes it, and is not sent it again
        return f": {event.name} cannot be decrypted\nid: {event.name}\n\n".encode()
    head = f"id: {text_of(Prefix.EVENT, event.id)}\nevent: {event.type.value}\ndata: "
    return head.encode() + event.body + b"\n\n"
