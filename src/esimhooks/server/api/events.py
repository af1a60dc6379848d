"""Events: `/v1/events`, newest first, or with `after=` oldest first as a pull API."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import id_in_body
from esimhooks.server.api.lists import Cursor, From, Limit, Listed, To, from_cursor, id_from, id_of, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.manage import deliveries as manage_deliveries
from esimhooks.server.store import events
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType

LAST_POSITION = 2**63 - 1

EventView = msgspec.Raw
"""The very bytes that webhooks carry."""


class ResendBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The endpoint to send to; without one, all that are enabled and subscribed to the event's type."""

    endpoint: Annotated[str, Meta(max_length=64)] | None = None


TO_ALL = ResendBody()


class ResentView(Struct, rename="camel"):
    """The deliveries that are sent now; those that were pending already are not among them."""

    event: str
    deliveries: list[str]


routes = Routes(BY_KEY)


@routes.get("/v1/events")
async def list_events(
    db: Session,
    tenant: Tenant,
    type_: EventType | None = None,
    esim: str | None = None,
    from_: From = None,
    to: To = None,
    after: str | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[EventView]:
    """List events, newest first; with `after`, those committed after that event, oldest first."""
    where = EventFilter(
        type=type_,
        esim_id=id_of("esim", Prefix.ESIM, esim),
        first_id=id_from("from", from_),
        last_id=id_from("to", to),
    )
    begin = id_of("after", Prefix.EVENT, after)
    if begin is None:
        rows = (await events.page(db, tenant, where, **window(limit, cursor))).rows
        return listed(rows, limit, event_view, lambda event: event.id)
    edge = await position_behind(db, tenant, begin, "query:after")
    if cursor is not None:
        edge = min(from_cursor(cursor).int, LAST_POSITION)
    rows = await events.page_after(db, tenant, where, after=edge, limit=limit + 1)
    return listed(rows, limit, event_view, lambda event: UUID(int=event.position))


@routes.get("/v1/events/{event_id}")
async def show_event(db: Session, tenant: Tenant, event_id: str) -> EventView:
    """Show an event."""
    return event_view(found(await events.find(db, tenant, parse_id(Prefix.EVENT, event_id)), "event"))


@routes.post("/v1/events/{event_id}/resend", example={"endpoint": "ep_01jd3v8k5fe8ya3q8r0m2n6x7d"}, status=202)
async def resend_event(
    db: Session, actor: Actor, tenant: Tenant, event_id: str, data: ResendBody = TO_ALL
) -> ResentView:
    """Send an event again, also to an endpoint that never got it."""
    known = parse_id(Prefix.EVENT, event_id)
    endpoint = id_in_body("/endpoint", Prefix.ENDPOINT, data.endpoint)
    sent = await manage_deliveries.resend(db, actor, tenant, known, endpoint_id=endpoint)
    return ResentView(event_id, [text_of(Prefix.DELIVERY, one) for one in sent])


async def position_behind(db: Session, tenant: Tenant, event_id: UUID, pointer: str) -> int:
    """Return the position of an event behind which to go on. Raises `Refused` (422) where it is not kept."""
    position = await events.position_of(db, tenant, event_id) if event_id.int else 0
    if position is None:
        oldest = text_of(Prefix.EVENT, UUID(int=0))
        raise Refused.invalid(pointer, f"expected the id of an event that is still kept, or {oldest} for the oldest")
    return position


def event_view(event: Event) -> EventView:
    """Return the event as it goes over the wire."""
    return msgspec.Raw(event.body)
