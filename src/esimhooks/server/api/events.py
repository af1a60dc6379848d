"""Events: `/v1/events`, newest first, or with `after=` oldest first as a pull API; their types, and test events."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY, OPEN
from esimhooks.server.api.bodies import EsimId, EventId, From, To, id_in
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.lists import Cursor, Limit, Listed, NameCursor, from_cursor, listed, part_of, window
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.manage import deliveries as manage_deliveries
from esimhooks.server.manage import test_events as manage_test_events
from esimhooks.server.manage.test_events import Value
from esimhooks.server.store import events
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.schemas import schema_of
from esimhooks.vocabulary.statuses import Mode

LAST_POSITION = 2**63 - 1

EventView = msgspec.Raw
"""The very bytes that webhooks carry."""


class ResendBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The endpoint to send to; by default all that are enabled and subscribed."""

    endpoint: Annotated[str, Meta(max_length=64)] | None = None


TO_ALL = ResendBody()


class ResentView(Struct, rename="camel"):
    """The deliveries that are sent now, without those that were already pending."""

    event: str
    deliveries: list[str]


routes = Routes(BY_KEY)


@routes.get("/v1/events")
async def list_events(
    db: Session,
    tenant: Tenant,
    type_: EventType | None = None,
    esim: EsimId | None = None,
    from_: From = None,
    to: To = None,
    after: EventId | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[EventView]:
    """List events, newest first; with `after`, those committed after that event, oldest first."""
    where = EventFilter(
        type=type_,
        esim_id=esim,
        first_id=from_,
        last_id=to,
    )
    if after is None:
        rows = (await events.page(db, tenant, where, **window(limit, cursor))).rows
        return listed(rows, limit, event_view, lambda event: event.id)
    edge = await position_after(db, tenant, after, "query:after")
    if cursor is not None:
        edge = min(from_cursor(cursor).int, LAST_POSITION)
    rows = await events.page_after(db, tenant, where, after=edge, limit=limit + 1)
    return listed(rows, limit, event_view, lambda event: UUID(int=event.position))


@routes.get("/v1/events/{event_id}")
async def show_event(db: Session, tenant: Tenant, event_id: EventId) -> EventView:
    """Show an event."""
    return event_view(found(await events.find(db, tenant, event_id), "event"))


@routes.post("/v1/events/{event_id}/resend", example={"endpoint": "ep_01jd3v8k5fe8ya3q8r0m2n6x7d"}, status=202)
async def resend_event(
    db: Session, actor: Actor, tenant: Tenant, event_id: EventId, data: ResendBody = TO_ALL
) -> ResentView:
    """Send an event again, even to an endpoint that never got it."""
    endpoint = None if data.endpoint is None else id_in("/endpoint", Prefix.ENDPOINT, data.endpoint)
    sent = await manage_deliveries.resend(db, actor, tenant, event_id, endpoint_id=endpoint)
    return ResentView(text_of(Prefix.EVENT, event_id), [text_of(Prefix.DELIVERY, one) for one in sent])


async def position_after(db: Session, tenant: Tenant, event_id: UUID, pointer: str) -> int:
    """Return the position of an event behind which to go on. Raises `Refused` (422) where it is not kept."""
    position = await events.position_of(db, tenant, event_id) if event_id.int else 0
    if position is None:
        oldest = text_of(Prefix.EVENT, UUID(int=0))
        raise Refused.invalid(pointer, f"expected the id of an event that is still kept, or {oldest} for the oldest")
    return position


def event_view(event: Event) -> EventView:
    """Return the event as it goes over the wire."""
    return msgspec.Raw(event.body)


Json = dict[str, Any]

POSITIONS = {event: f"{position:02}" for position, event in enumerate(EventType)}
"""They are listed in the order of an eSIM's life."""


class EventTypeRow(Struct, rename="camel"):
    """One event type: its name, meaning and JSON Schema."""

    event: EventType
    meaning: str
    schema_url: str


class EventTypeView(EventTypeRow, rename="camel", kw_only=True):
    """An event type with its JSON Schema (draft 2020-12) and an example of the whole body of a webhook."""

    schema: Json
    example: Envelope


open_routes = Routes(OPEN)


@routes.get("/v1/event-types")
async def list_event_types(limit: Limit = 25, cursor: NameCursor = None) -> Listed[EventTypeRow]:
    """List the event types."""
    return part_of(list(EventType), limit, cursor, _row, lambda event: POSITIONS[event])


@routes.get("/v1/event-types/{event}")
async def show_event_type(event: str) -> EventTypeView:
    """Show an event type with its schema and an example."""
    known = _parse_type(event)
    return EventTypeView(known, MEANINGS[known], _url(known), schema=schema_of(known), example=example_of(known))


@open_routes.get("/schemas/{name}", media_type="application/schema+json")
async def show_schema(name: str) -> Json:
    """Show the JSON Schema of an event, such as `/schemas/esim.activated.json`."""
    if not name.endswith(".json"):
        raise Refused.not_found("expected the name of an event and .json")
    return schema_of(_parse_type(name.removesuffix(".json")))


def _row(event: EventType) -> EventTypeRow:
    return EventTypeRow(event, MEANINGS[event], _url(event))


def _parse_type(name: str) -> EventType:
    if name not in set(EventType):
        raise Refused.not_found("there is no such event type")
    return EventType(name)


def _url(event: EventType) -> str:
    return f"/schemas/{event.value}.json"


class TestEventBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Which event to raise, of a new test eSIM or of `esim`, one of the account's.

    `data` sets fields of the eSIM as they are after the event; dependent fields follow.
    """

    __test__ = False

    event: EventType
    esim: Annotated[str, Meta(max_length=64)] | None = None
    data: dict[str, Value] = {}


class TestEventView(Struct, rename="camel"):
    """The event that was raised."""

    __test__ = False

    id: str
    event: EventType
    mode: Mode


@routes.post("/v1/test-events", example={"event": "esim.activated"})
async def raise_test_event(
    db: Session, actor: Actor, now: datetime, rules: Installation, tenant: Tenant, data: TestEventBody
) -> TestEventView:
    """Raise a test event."""
    if tenant.mode is not Mode.TEST:
        raise Refused.forbidden("test events need a test key (esim_test_...)")
    esim_id = None if data.esim is None else id_in("/esim", Prefix.ESIM, data.esim)
    wanted = manage_test_events.TestEvent(type=data.event, esim_id=esim_id, given=data.data)
    policy = EmitPolicy(thresholds=rules.thresholds)
    event = await manage_test_events.raise_test_event(db, actor, tenant, wanted, policy, now=now)
    return TestEventView(text_of(Prefix.EVENT, event.id), data.event, tenant.mode)
