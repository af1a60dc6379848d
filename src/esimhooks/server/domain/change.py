"""A change: one eSIM before and after an update, and how the update fared."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.update import Cause, Doubt
from esimhooks.vocabulary.envelope import TopUp
from esimhooks.vocabulary.events import EventType


class UpdateOutcome(StrEnum):
    """What became of an update; shown in the journal and in the answer of `POST /v1/updates`."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    STALE = "stale"
    DUPLICATE = "duplicate"
    UNMATCHED = "unmatched"
    INVALID = "invalid"
    WAITING = "waiting"
    """The provider must be queried first; a background loop works it off."""
    IGNORED = "ignored"
    """Understood and of no consequence, such as a health check."""


class UpdateResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one update, and the events it raised."""

    outcome: UpdateOutcome
    esim_id: UUID | None = None
    event_ids: tuple[UUID, ...] = ()
    detail: str | None = None


class Change(Struct, frozen=True, kw_only=True):
    """The result of applying one update to one eSIM. `happened_at` is the provider's time, else the arrival's."""

    before: Esim
    after: Esim
    outcome: UpdateOutcome
    cause: Cause
    happened_at: datetime
    reason: str | None = None
    validity_noticed: bool = False
    announced: bool = False
    """The reason is what the provider says will happen."""
    top_up_transaction_id: str | None = None
    top_up_package_code: str | None = None
    doubts: tuple[Doubt, ...] = ()


class EventDraft(Struct, frozen=True, kw_only=True):
    """An event that a change raises, before it has an id and bytes."""

    type: EventType
    reason: str | None = None
    thresholds: tuple[int, ...] = ()
    plan_id: str | None = None
    top_up: TopUp | None = None
