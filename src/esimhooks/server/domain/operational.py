"""Operational events: an endpoint fails, recovered or was disabled, a delivery failed. They go in, webhook bodies go out. Pure.

The body is an envelope like that of eSIM events; members that do not apply are absent. Of an endpoint's URL only the host is
included: the rest may hold a password.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from msgspec import Struct

from esimhooks.server.domain.account import OPERATOR
from esimhooks.server.domain.delivery import OutcomeClass
from esimhooks.server.domain.endpoint import DisabledReason, Tenant
from esimhooks.server.domain.event import Event, OperationalType
from esimhooks.server.domain.health import LastFailure
from esimhooks.server.domain.ids import Prefix, text_of, text_or_none
from esimhooks.vocabulary.statuses import Mode
from esimhooks.vocabulary.timestamps import timestamp


class EndpointDisabled(Struct, frozen=True, kw_only=True):
    """An endpoint was switched off, by the server or by a person."""

    account_id: UUID
    endpoint_id: UUID
    reason: DisabledReason


class EndpointFailing(Struct, frozen=True, kw_only=True):
    """An endpoint has failed for some minutes, since `since` (aware UTC); `failures` are those in a row, 0 after a success."""

    account_id: UUID
    endpoint_id: UUID
    since: datetime
    failures: int
    last_failure: LastFailure | None


class EndpointRecovered(Struct, frozen=True, kw_only=True):
    """An endpoint works again after `endpoint.failing` was emitted at `alerted_at` (aware UTC)."""

    account_id: UUID
    endpoint_id: UUID
    alerted_at: datetime


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


class ProviderDoubt(Struct, frozen=True, kw_only=True):
    """A provider sent a word or member that was not understood; `word` is empty where the value itself is the matter."""

    provider: str
    field: str
    word: str
    detail: str
    notification_id: UUID | None
    """None for what it answered to a query."""


class ProviderTrouble(Struct, frozen=True, kw_only=True):
    """A provider is silent, refuses the credentials, or says that the balance is low; `since` is aware UTC."""

    provider: str
    kind: OperationalType
    detail: str
    since: datetime


class EndpointDescription(Struct, frozen=True):
    """What an operational event says of its endpoint."""

    mode: Mode
    url: str
    name: str | None


OperationalEvent = EndpointDisabled | EndpointFailing | EndpointRecovered | DeliveryFailed
TYPES: Mapping[type[OperationalEvent], OperationalType] = {
    EndpointDisabled: OperationalType.ENDPOINT_DISABLED,
    EndpointFailing: OperationalType.ENDPOINT_FAILING,
    EndpointRecovered: OperationalType.ENDPOINT_RECOVERED,
    DeliveryFailed: OperationalType.DELIVERY_FAILED,
}


def operational_event(
    event: OperationalEvent, endpoint: EndpointDescription, *, event_id: UUID, now: datetime, tenant: Tenant = OPERATOR
) -> Event:
    """Return the event for what happened `now` (aware UTC) to an endpoint, for the operator or for `tenant`."""
    return _event(TYPES[type(event)], _data(event, endpoint), event_id=event_id, now=now, tenant=tenant)


def doubt_event(doubt: ProviderDoubt, *, event_id: UUID, now: datetime) -> Event:
    """Return the event for the operator about what was not understood of a provider; `now` is aware UTC."""
    data = {
        "provider": doubt.provider,
        "field": doubt.field,
        "word": doubt.word or None,
        "detail": doubt.detail,
        "notification": text_or_none(Prefix.NOTIFICATION, doubt.notification_id),
    }
    return _event(OperationalType.PROVIDER_DOUBT, data, event_id=event_id, now=now)


def trouble_event(trouble: ProviderTrouble, *, event_id: UUID, now: datetime) -> Event:
    """Return the event for the operator about what is wrong with a provider; `now` is aware UTC."""
    data = {"provider": trouble.provider, "detail": trouble.detail, "since": timestamp(trouble.since)}
    return _event(trouble.kind, data, event_id=event_id, now=now)


def _event(
    kind: OperationalType, data: Mapping[str, object], *, event_id: UUID, now: datetime, tenant: Tenant = OPERATOR
) -> Event:
    """Return the event; what is None in the data is absent."""
    body = {
        "id": text_of(Prefix.EVENT, event_id),
        "event": kind,
        "timestamp": timestamp(now),
        "data": {name: value for name, value in data.items() if value is not None},
    }
    return Event(
        id=event_id,
        tenant=tenant,
        esim_id=None,
        type=kind,
        happened_at=now,
        notification_id=None,
        body=msgspec.json.encode(body),
    )


def _data(event: OperationalEvent, endpoint: EndpointDescription) -> Mapping[str, object]:
    return {
        "account": text_of(Prefix.ACCOUNT, event.account_id),
        "mode": endpoint.mode,
        "endpoint": text_of(Prefix.ENDPOINT, event.endpoint_id),
        "endpointName": endpoint.name,
        "host": urlsplit(endpoint.url).hostname or "",
    } | _what_happened(event)


def _what_happened(event: OperationalEvent) -> dict[str, object]:
    match event:
        case EndpointDisabled():
            return {"reason": event.reason}
        case EndpointRecovered():
            return {"since": timestamp(event.alerted_at)}
        case EndpointFailing():
            return {"since": timestamp(event.since), "failures": event.failures} | _failure(event.last_failure)
        case DeliveryFailed():
            return {
                "delivery": text_of(Prefix.DELIVERY, event.delivery_id),
                "event": text_of(Prefix.EVENT, event.event_id),
                "eventType": event.event_type,
                "attempts": event.attempts,
            } | _failure(event)
        case _:
            assert_never(event)


def _failure(last: LastFailure | DeliveryFailed | None) -> dict[str, object]:
    return {} if last is None else {"outcome": last.outcome, "statusCode": last.status_code, "error": last.error}
