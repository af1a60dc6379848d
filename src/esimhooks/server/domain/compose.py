"""From an event's draft to its envelope. Pure: the id is an argument."""

from datetime import datetime
from uuid import UUID

from msgspec import UNSET

from esimhooks.server.domain.change import EventDraft
from esimhooks.server.domain.emit import Emission
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.timestamps import timestamp


def envelope(
    event_id: UUID, draft: EventDraft, emission: Emission, *, sequence: int, happened_at: datetime
) -> Envelope:
    """Return the envelope of one event of the emission; `sequence` is its number among the eSIM's events."""
    return Envelope(
        id=text_of(Prefix.EVENT, event_id),
        event=draft.type,
        timestamp=timestamp(happened_at),
        data=emission.data,
        previous_status=emission.previous_status or UNSET,
        new_status=emission.new_status or UNSET,
        changes=emission.changes or UNSET,
        sequence=sequence,
        mode=emission.esim.mode,
        reason=draft.reason or UNSET,
        thresholds=list(draft.thresholds) or UNSET,
        plan_id=draft.plan_id or UNSET,
        top_up=draft.top_up or UNSET,
        replaces=emission.data.replaces if draft.type is EventType.CREATED else UNSET,
        replaced_by=emission.data.replaced_by if draft.type is EventType.SUSPENDED else UNSET,
    )
