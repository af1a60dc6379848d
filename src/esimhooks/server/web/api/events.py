"""Events: `/v1/events`, newest first, or with `after=` oldest first as a pull API."""

import msgspec
from litestar import Router, get
from litestar.params import FromPath, FromQuery

from esimhooks.server.model.event import Event, EventFilter
from esimhooks.server.model.ids import Prefix, parse_id
from esimhooks.server.web.given import InContext, OfTenant
from esimhooks.server.web.lists import Cursor, From, Limit, Listed, To, from_cursor, id_from, id_of, listed, window
from esimhooks.vocabulary.events import EventType

EventView = msgspec.Raw
"""The very bytes that webhooks carry."""


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
    """List events."""
    where = EventFilter(
        type=type,
        esim_id=id_of("esim", Prefix.ESIM, esim),
        first_id=id_from("from", start),
        last_id=id_from("to", end),
    )
    begin = id_of("after", Prefix.EVENT, after)
    if begin is None:
        rows = await context.tenant.events(tenant, where, window(limit, cursor))
    else:
        edge = begin if cursor is None else from_cursor(cursor)
        rows = await context.tenant.events_after(tenant, where, edge, limit + 1)
    return listed(rows, limit, event_view, lambda event: event.id)


@get("/{event_id:str}")
async def show_event(context: InContext, tenant: OfTenant, event_id: FromPath[str]) -> EventView:
    """Show an event."""
    return event_view(await context.tenant.event(tenant, parse_id(Prefix.EVENT, event_id)))


router = Router("/v1/events", route_handlers=[list_events, show_event])


def event_view(event: Event) -> EventView:
    """Return the event as it goes over the wire."""
    return msgspec.Raw(event.body)
