"""An event: what happened to an eSIM, and the bytes that are sent."""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.vocabulary.events import EventType


class OperationalType(StrEnum):
    """What the operator is notified of about deliveries and providers, and a merchant about its own endpoints."""

    ENDPOINT_DISABLED = "endpoint.disabled"
    ENDPOINT_FAILING = "endpoint.failing"
    ENDPOINT_RECOVERED = "endpoint.recovered"
    DELIVERY_FAILED = "delivery.failed"
    PROVIDER_DOUBT = "provider.doubt"
    PROVIDER_SILENT = "provider.silent"
    PROVIDER_REFUSED = "provider.refused"
    PROVIDER_BALANCE = "provider.balance"


AnyEventType: TypeAlias = EventType | OperationalType


def event_type_of(text: str) -> AnyEventType:
    """Return the type of that name. Raises `ValueError` where there is none."""
    return OperationalType(text) if text in OPERATIONAL else EventType(text)


OPERATIONAL = frozenset(OperationalType)
FOR_MERCHANTS = frozenset({OperationalType.ENDPOINT_FAILING, OperationalType.ENDPOINT_RECOVERED})
"""What an account's other endpoints get where they name it."""


class Event(Struct, frozen=True, kw_only=True):
    """One event with the bytes that go over the wire. `notification_id` is what raised it, where something did.

    `traceparent` (W3C Trace Context) is the span in which it was raised, where traces are on. `position` is its place among the tenant's
    events in the order of their commits, from 1 on; 0 until it is stored.
    """

    id: UUID
    tenant: Tenant
    esim_id: UUID | None
    type: AnyEventType
    happened_at: datetime
    notification_id: UUID | None
    body: bytes
    traceparent: str | None = None
    position: int = 0
    endpoint_id: UUID | None = None
    """The one endpoint it was made for; None for all that want it."""


class EventFilter(Struct, frozen=True, kw_only=True):
    """What a list of events may be narrowed to; None means any. Times bound the ids, aware UTC."""

    type: EventType | None = None
    esim_id: UUID | None = None
    first_id: UUID | None = None
    last_id: UUID | None = None
