"""Events: `/v1/events`, newest first, or with `after=` oldest first as a pull API."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from esimhooks.server.api.bodies import id_in_body
from esimhooks.server.api.context import Context
from esimhooks.server.api.given import InContext, OfTenant
from esimhooks.server.api.lists import Cursor, From, Limit, Listed, To, from_cursor, id_from, id_of, listed, window
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
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


@get("/")
async def list_events(
    context: InContext,
    tenant: OfTenant,
    type: FromQuery[EventType | None] = None,  # noqa: A002 - the name of the query parameter
    esim: FromQuery[str | None] = None,
    start: From = None,
    end: To = None,
    after: FromQuery[str | None] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[EventView]:
    """List events, newest first; with `after`, those committed after that event, oldest first."""
    where = EventFilter(
        type=type,
        esim_id=id_of("esim", Prefix.ESIM, esim),
        first_id=id_from("from", start),
        last_id=id_from("to", end),
    )
    begin = id_of("after", Prefix.EVENT, after)
    if begin is None:
        rows = await context.tenant.events(tenant, where, window(limit, cursor))
        return listed(rows, limit, event_view, lambda event: event.id)
    edge = await position_behind(context, tenant, begin, "query:after")
    if cursor is not None:
        edge = min(from_cursor(cursor).int, LAST_POSITION)
    rows = await context.tenant.events_after(tenant, where, edge, limit + 1)
    return listed(rows, limit, event_view, lambda event: UUID(int=event.position))


@get("/{event_id:str}")
async def show_event(context: InContext, tenant: OfTenant, event_id: FromPath[str]) -> EventView:
    """Show an event."""
    return event_view(await context.tenant.event(tenant, parse_id(Prefix.EVENT, event_id)))


@post("/{event_id:str}/resend", status_code=202)
async def resend_event(
    context: InContext, tenant: OfTenant, event_id: FromPath[str], data: JSONBody[ResendBody] = TO_ALL
) -> ResentView:
    """Send an event again, also to an endpoint that never got it."""
    known = parse_id(Prefix.EVENT, event_id)
    endpoint = id_in_body("/endpoint", Prefix.ENDPOINT, data.endpoint)
    sent = await context.deliveries.resend(tenant, known, endpoint_id=endpoint)
    return ResentView(event_id, [text_of(Prefix.DELIVERY, one) for one in sent])


router = Router("/v1/events", route_handlers=[list_events, show_event, resend_event])


async def position_behind(context: Context, tenant: Tenant, event_id: UUID, pointer: str) -> int:
    """Return the position of an event behind which to go on. Raises `Refused` (422) where it is not kept."""
    position = await context.tenant.position(tenant, event_id)
    if position is None:
        oldest = text_of(Prefix.EVENT, UUID(int=0))
        raise Refused.invalid(pointer, f"expected the id of an event that is still kept, or {oldest} for the oldest")
    return position


def event_view(event: Event) -> EventView:
    """Return the event as it goes over the wire."""
    return msgspec.Raw(event.body)
