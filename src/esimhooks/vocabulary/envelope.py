"""The envelope: the body of every webhook, and its bytes.

The bytes are made once, when the event is created, and sent unchanged with every attempt.
"""

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import EsimStatus, Mode
from esimhooks.vocabulary.timestamps import Timestamp

FieldValue: TypeAlias = str | int | float | bool | list[dict[str, Any]] | dict[str, Any] | None
"""A member of `data` in JSON."""

MAX_BODY_BYTES = 262_144


class FieldChange(Struct, frozen=True):
    """One field of `data` before and after the change."""

    old: FieldValue
    new: FieldValue


class TopUp(Struct, frozen=True, kw_only=True, rename="camel"):
    """The volume that was added to an eSIM, and by what."""

    transaction_id: str | UnsetType = UNSET
    package_code: str | UnsetType = UNSET
    added_volume: Annotated[int | float, Meta(description="MB, 1 MB = 1 048 576 bytes, 2 decimals")]


class Envelope(Struct, frozen=True, kw_only=True, rename="camel"):
    """One event as it goes over the wire. What does not apply is absent, not null."""

    id: Annotated[str, Meta(description="`evt_` and 26 characters; the same for every endpoint, attempt and resend")]
    event: Annotated[EventType, Meta(description="type of the event")]
    timestamp: Annotated[Timestamp, Meta(description="when the change happened")]
    data: Annotated[EsimData, Meta(description="the eSIM after the change")]
    previous_status: Annotated[EsimStatus, Meta(description="`esimStatus` before, if it changed")] | UnsetType = UNSET
    new_status: Annotated[EsimStatus, Meta(description="`esimStatus` after, if it changed")] | UnsetType = UNSET
    changes: (
        Annotated[dict[str, FieldChange], Meta(description="fields of `data` that changed, each with `old` and `new`")]
        | UnsetType
    ) = UNSET
    sequence: Annotated[int, Meta(ge=1, description="number of the event among those of the eSIM: 1, 2, ...")]
    mode: Annotated[Mode, Meta(description="live or test")]
    reason: Annotated[str, Meta(description="why: a known reason, or the provider's own text")] | UnsetType = UNSET
    thresholds: (
        Annotated[list[int], Meta(description="thresholds that were crossed, in percent of `totalVolume`")] | UnsetType
    ) = UNSET
    plan_id: Annotated[str, Meta(description="the plan concerned, if the eSIM has several")] | UnsetType = UNSET
    top_up: Annotated[TopUp, Meta(description="the volume that was added, and by which order")] | UnsetType = UNSET
    replaces: Annotated[str, Meta(description="id of the eSIM that this one replaces")] | UnsetType = UNSET
    replaced_by: Annotated[str, Meta(description="id of the eSIM that replaces this one")] | UnsetType = UNSET


_encoder = msgspec.json.Encoder()


def encode(envelope: Envelope) -> bytes:
    """Return the body of the webhook: UTF-8 JSON, never empty, at most 256 KiB."""
    return _encoder.encode(envelope)
