"""An event that no eSIM has caused: the example of its type, with an id and a time of its own."""

from datetime import datetime
from uuid import UUID

from msgspec import structs

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.vocabulary.envelope import Envelope, encode
from esimhooks.vocabulary.statuses import Mode
from esimhooks.vocabulary.timestamps import timestamp


def event_of(
    example: Envelope,
    tenant: Tenant,
    *,
    mode: Mode,
    now: datetime,
    esim_id: UUID | None = None,
    endpoint_id: UUID | None = None,
) -> Event:
    """Return the event, marked with `mode`, raised `now` (aware UTC); with `endpoint_id` it is for that endpoint alone."""
    event_id = new_id()
    raised = structs.replace(example, id=text_of(Prefix.EVENT, event_id), mode=mode, timestamp=timestamp(now))
    return Event(
        id=event_id,
        tenant=tenant,
        esim_id=esim_id,
        type=example.event,
        happened_at=now,
        notification_id=None,
        body=encode(raised),
        endpoint_id=endpoint_id,
    )
