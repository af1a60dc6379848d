"""The eight events and what they mean: `/v1/event-types` for any key, their JSON Schemas at `/schemas/` for all."""

from typing import Any

from msgspec import Struct

from esimhooks.server.api.access import BY_KEY, OPEN
from esimhooks.server.api.lists import Limit, Listed, NameCursor, part_of
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.errors import Refused
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.schemas import schema_of

Json = dict[str, Any]

PLACES = {event: f"{place:02}" for place, event in enumerate(EventType)}
"""They are listed in the order of an eSIM's life."""


class EventTypeRow(Struct, rename="camel"):
    """One event type: its name, what it means and where its JSON Schema is."""

    event: EventType
    meaning: str
    schema_url: str


class EventTypeView(EventTypeRow, rename="camel", kw_only=True):
    """An event type with its JSON Schema (draft 2020-12) and an example of the whole body of a webhook."""

    schema: Json
    example: Envelope


routes = Routes(BY_KEY)
open_routes = Routes(OPEN)


@routes.get("/v1/event-types")
async def list_event_types(limit: Limit = 25, cursor: NameCursor = None) -> Listed[EventTypeRow]:
    """List the event types."""
    return part_of(list(EventType), limit, cursor, _row, lambda event: PLACES[event])


@routes.get("/v1/event-types/{event}")
async def show_event_type(event: str) -> EventTypeView:
    """Show an event type with its schema and an example."""
    known = _known(event)
    return EventTypeView(known, MEANINGS[known], _url(known), schema=schema_of(known), example=example_of(known))


@open_routes.get("/schemas/{name}", media_type="application/schema+json")
async def show_schema(name: str) -> Json:
    """Show the JSON Schema of an event, as `/schemas/esim.activated.json`."""
    if not name.endswith(".json"):
        raise Refused.not_found("expected the name of an event and .json")
    return schema_of(_known(name.removesuffix(".json")))


def _row(event: EventType) -> EventTypeRow:
    return EventTypeRow(event, MEANINGS[event], _url(event))


def _known(name: str) -> EventType:
    if name not in set(EventType):
        raise Refused.not_found("there is no such event type")
    return EventType(name)


def _url(event: EventType) -> str:
    return f"/schemas/{event.value}.json"
