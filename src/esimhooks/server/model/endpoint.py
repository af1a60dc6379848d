"""An endpoint: a merchant's URL and how it wants to be called."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from esimhooks.vocabulary.statuses import Mode


class DisabledReason(StrEnum):
    """Why an endpoint gets nothing at the moment."""

    GONE = "gone"
    FAILING = "failing"
    MANUAL = "manual"


class Tenant(Struct, frozen=True):
    """Whose rows: an account and a mode. Every query on a tenant's rows takes one."""

    account_id: UUID
    mode: Mode


class Endpoint(Struct, frozen=True, kw_only=True):
    """One endpoint as it is stored. `event_types` None means all; `timeout_s` is seconds."""

    id: UUID
    tenant: Tenant
    url: str
    name: str | None
    event_types: tuple[str, ...] | None
    retry_schedule: tuple[int, ...]
    timeout_s: float
    max_in_flight: int
    enabled: bool
    disabled_reason: DisabledReason | None
    created_at: datetime
    updated_at: datetime
