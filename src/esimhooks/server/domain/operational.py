"""What the operator is told of the deliveries themselves, as bytes. What happened comes in, an event goes out; pure.

The body is an envelope like that of the events of eSIMs; what does not apply is absent. Of an endpoint's URL only the host
is told: the rest may hold a password.
"""

from datetime import datetime
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from esimhooks.server.domain.account import OPERATOR
from esimhooks.server.domain.delivery import OutcomeClass
from esimhooks.server.domain.endpoint import DisabledReason
from esimhooks.server.domain.event import Event, OperationalType
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.vocabulary.statuses import Mode
from esimhooks.vocabulary.timestamps import timestamp


class EndpointDisabled(Struct, frozen=True, kw_only=True):
    """An endpoint was switched off, by the server or by a person."""

    account_id: UUID
    endpoint_id: UUID
    reason: DisabledReason


class DeliveryFailed(Struct, frozen=True, kw_only=True):
    """A delivery was given up. `outcome` and what follows are those of its last attempt."""

    account_id: UUID
    endpoint_id: UUID
    delivery_id: UUID
    event_id: UUID
    event_type: str
    attempts: int
    outcome: OutcomeClass
    status_code: int | None = None
    error: str | None = None


Value = TypeVar("Value", str, int)


class Whose(Struct, frozen=True):
    """What is told of an endpoint to which something happened."""

    mode: Mode
    url: str
    name: str | None


Happening = EndpointDisabled | DeliveryFailed


class _Data(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    account: str
    mode: str
    endpoint: str
    endpoint_name: str | UnsetType = UNSET
    host: str
    reason: DisabledReason | UnsetType = UNSET
    delivery: str | UnsetType = UNSET
    event: str | UnsetType = UNSET
    event_type: str | UnsetType = UNSET
    attempts: int | UnsetType = UNSET
    outcome: OutcomeClass | UnsetType = UNSET
    status_code: int | UnsetType = UNSET
    error: str | UnsetType = UNSET


class _Envelope(Struct, frozen=True, kw_only=True):
    id: str
    event: OperationalType
    timestamp: str
    data: _Data


def operational_event(happening: Happening, endpoint: Whose, *, event_id: UUID, now: datetime) -> Event:
    """Return the event that tells the operator what happened `now` (aware UTC) to an endpoint."""
    kind = (
        OperationalType.ENDPOINT_DISABLED
        if isinstance(happening, EndpointDisabled)
        else OperationalType.DELIVERY_FAILED
    )
    told = _Envelope(
        id=text_of(Prefix.EVENT, event_id), event=kind, timestamp=timestamp(now), data=_data(happening, endpoint)
    )
    return Event(
        id=event_id,
        tenant=OPERATOR,
        esim_id=None,
        type=kind,
        happened_at=now,
        notification_id=None,
        body=msgspec.json.encode(told),
    )


def _data(happening: Happening, endpoint: Whose) -> _Data:
    whose = _Data(
        account=text_of(Prefix.ACCOUNT, happening.account_id),
        mode=endpoint.mode,
        endpoint=text_of(Prefix.ENDPOINT, happening.endpoint_id),
        endpoint_name=_or_absent(endpoint.name),
        host=urlsplit(endpoint.url).hostname or "",
    )
    if isinstance(happening, EndpointDisabled):
        return msgspec.structs.replace(whose, reason=happening.reason)
    return msgspec.structs.replace(
        whose,
        delivery=text_of(Prefix.DELIVERY, happening.delivery_id),
        event=text_of(Prefix.EVENT, happening.event_id),
        event_type=happening.event_type,
        attempts=happening.attempts,
        outcome=happening.outcome,
        status_code=_or_absent(happening.status_code),
        error=_or_absent(happening.error),
    )


def _or_absent(value: Value | None) -> Value | UnsetType:
    return UNSET if value is None else value
