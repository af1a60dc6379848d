"""Events: `/v1/events`, newest first, or with `after=` oldest first as a pull API."""

import msgspec
from litestar import Router, get

from esimhooks.server.model.endpoint import Tenant
from esimhooks.server.model.event import Event, EventFilter
from esimhooks.server.model.ids import Prefix, first_id_of, parse_id
from esimhooks.server.web.context import Context
from esimhooks.server.web.lists import Cursor, From, Limit, Listed, To, listed, window
from esimhooks.vocabulary.events import EventType

EventView = msgspec.Raw
"""The very bytes that webhooks carry."""


@get("/")
async def list_events(
    context: Context,
    tenant: Tenant,
    type: EventType | None = None,  # noqa: A002 - the name of the query parameter
    esim: str | None = None,
    start: From = None,
    end: To = None,
    after: str | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[EventView]:
    """List events."""
    where = EventFilter(
        type=type,
        esim_id=None if esim is None else parse_id(Prefix.ESIM, esim),
        first_id=None if start is None else first_id_of(start),
        last_id=None if end is None else first_id_of(end),
    )
    if after is None:
        rows = await context.tenant.events(tenant, where, window(limit, cursor))
    else:
        rows = await context.tenant.events_after(tenant, where, parse_id(Prefix.EVENT, after), limit + 1)
    return listed(rows, limit, event_view, lambda event: event.id)


@get("/{event_id:str}")
async def show_event(context: Context, tenant: Tenant, event_id: str) -> EventView:
    """Show an event."""
    return event_view(await context.tenant.event(tenant, parse_id(Prefix.EVENT, event_id)))


router = Router("/v1/events", route_handlers=[list_events, show_event])


def event_view(event: Event) -> EventView:
    """Return the event as it goes over the wire."""
    return msgspec.Raw(event.body)
