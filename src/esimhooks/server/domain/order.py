"""An order: what was bought from a provider."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.vocabulary.statuses import Mode


class OrderFilter(Struct, frozen=True, kw_only=True):
    """What a list of orders may be narrowed to; None means any."""

    account_id: UUID | None = None
    mode: Mode | None = None
    provider: str | None = None
    transaction_id: str | None = None
    order_no: str | None = None


class Order(Struct, frozen=True, kw_only=True):
    """One order of `quantity` eSIMs, or a top-up of the eSIM `esim_id`, which makes none.

    `polls` counts how often its provider was queried while it was pending.
    """

    id: UUID
    tenant: Tenant
    provider: str
    transaction_id: str
    order_no: str | None
    package_code: str
    package_name: str | None
    quantity: int
    created_at: datetime
    esim_id: UUID | None = None
    metadata: Mapping[str, str] = {}
    """What the operator put on it: it comes with every event and is never read."""
    polls: int = 0
