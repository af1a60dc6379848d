"""An event: what merchants are told, and the bytes that tell it."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.model.endpoint import Tenant
from esimhooks.vocabulary.events import EventType


class Event(Struct, frozen=True, kw_only=True):
    """One event with the bytes that go over the wire. `notification_id` is what raised it, where something did."""

    id: UUID
    tenant: Tenant
    esim_id: UUID | None
    type: EventType
    happened_at: datetime
    notification_id: UUID | None
    body: bytes


class EventFilter(Struct, frozen=True, kw_only=True):
    """What a list of events may be narrowed to; None means any. Times bound the ids, aware UTC."""

    type: EventType | None = None
    esim_id: UUID | None = None
    first_id: UUID | None = None
    last_id: UUID | None = None
