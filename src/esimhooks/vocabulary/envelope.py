"""The envelope: the body of every webhook, and its bytes.

The bytes are made once, when the event is created, and sent unchanged with every attempt.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import EsimStatus, Mode
from esimhooks.vocabulary.timestamps import Timestamp

FieldValue = str | int | float | None

MAX_BODY_BYTES = 262_144


class FieldChange(Struct, frozen=True):
    """One field of `data` before and after the change."""

    old: FieldValue
    new: FieldValue


class Envelope(Struct, frozen=True, kw_only=True, rename="camel"):
    """One event as it goes over the wire. What does not apply is absent, not null."""

    id: Annotated[str, Meta(description="TypeID; the same for every endpoint, attempt and resend")]
    event: EventType
    timestamp: Annotated[Timestamp, Meta(description="when the change happened")]
    data: EsimData
    previous_status: EsimStatus | UnsetType = UNSET
    new_status: EsimStatus | UnsetType = UNSET
    changes: dict[str, FieldChange] | UnsetType = UNSET
    sequence: Annotated[int, Meta(ge=1, description="grows by one per eSIM and event")]
    mode: Mode
    reason: str | UnsetType = UNSET
    thresholds: Annotated[list[int], Meta(description="percent of totalVolume crossed")] | UnsetType = UNSET


_encoder = msgspec.json.Encoder()


def encode(envelope: Envelope) -> bytes:
    """Return the body of the webhook: UTF-8 JSON, never empty, at most 256 KiB."""
    return _encoder.encode(envelope)
