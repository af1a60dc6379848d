"""A notification: one request of a provider, raw and parsed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.change import UpdateOutcome, UpdateResult
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.update import Doubt, Update

NOT_COMMITTED = datetime.min.replace(tzinfo=UTC)


class InboundRequest(Struct, frozen=True, kw_only=True):
    """An HTTP request at a provider's inbound address. Header names are in lower case."""

    method: str
    path: str
    """What follows the token in the inbound address, `""` or starting with a slash."""
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str
    """The address that the request came from, after trusted proxies are taken off."""
    proven: bool = False
    """Whether it proves by itself, with a signature or a credential, that the provider sent it."""


class OrderRef(Struct, frozen=True, kw_only=True):
    """What identifies an order."""

    order_no: str | None = None
    transaction_id: str | None = None


class OrderUpdate(Struct, frozen=True, kw_only=True):
    """What a provider says of a whole order: it is ready, and must be fetched to be known, or failed or was refunded."""

    ref: OrderRef
    failure: str | None = None
    """The provider's words, where the order failed or was cancelled before it was filled."""
    refunded: bool = False


class Notification(Struct, frozen=True, kw_only=True):
    """What a provider's module makes of one inbound request.

    `own_id` is the provider's id of the notification where it has one. Neither updates nor an order means that it
    is understood and of no consequence (a health check).
    """

    kind: str
    own_id: str | None = None
    occurred_at: datetime | None = None
    updates: tuple[Update, ...] = ()
    order: OrderUpdate | None = None
    low_balance: str | None = None
    """What the provider says of the account's balance, where that is low."""
    doubts: tuple[Doubt, ...] = ()
    """What was not understood while the rest is applied; shown in the journal."""

    @property
    def timed(self) -> bool:
        """Whether it says when it happened, so that a repetition can be distinguished from a later fact."""
        if self.occurred_at is not None:
            return True
        return bool(self.updates) and all(update.occurred_at is not None for update in self.updates)


class JournalFilter(Struct, frozen=True, kw_only=True):
    """What the journal may be narrowed to; None means any. `first_id` and `last_id` bound the time.

    ICCID, transaction and order are looked up among eSIMs and among what waits for an eSIM; bodies are not searched.
    """

    source: str | None = None
    outcome: UpdateOutcome | None = None
    esim_id: UUID | None = None
    iccid: str | None = None
    transaction_id: str | None = None
    order_no: str | None = None
    first_id: UUID | None = None
    last_id: UUID | None = None

    @property
    def by_identity(self) -> bool:
        """Whether it is about eSIMs that are known by their numbers."""
        return (self.iccid, self.transaction_id, self.order_no) != (None, None, None)


class JournalEntry(Struct, frozen=True, kw_only=True):
    """One notification as it came, and what became of it.

    `source` is the provider's name, or `updates` for what the operator handed in, which then has a tenant.
    """

    id: UUID
    source: str
    tenant: Tenant | None = None
    received_at: datetime = NOT_COMMITTED
    """The database's time of the commit."""
    request: InboundRequest
    kind: str | None = None
    outcome: UpdateOutcome
    detail: str | None = None
    esim_id: UUID | None = None
    results: tuple[UpdateResult, ...] = ()
    """The outcome of each update where there are several; of one alone it stands above."""
