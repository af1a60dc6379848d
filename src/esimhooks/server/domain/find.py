"""What an id or number leads to: one row, or the whole chain from what a provider said to what a receiver answered."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.delivery import Attempt, Delivery
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.notification import JournalEntry


class Hit(Struct, frozen=True, kw_only=True):
    """One row. `tenant` None for what belongs to the installation; `part_of` is the row on whose page it is shown.

    `label` shows a person which one it is; of an audit entry, what it is about.
    """

    kind: Prefix
    id: UUID
    tenant: Tenant | None = None
    part_of: UUID | None = None
    label: str | None = None


class Begin(Struct, frozen=True, kw_only=True):
    """Where a trace begins once its id is known. Events are those named, else those of the notification, else of the eSIMs.

    With `delivery_id` or `endpoint_id` the deliveries are narrowed to that one, or to those of that endpoint.
    """

    esim_ids: tuple[UUID, ...] = ()
    event_ids: tuple[UUID, ...] | None = None
    notification_id: UUID | None = None
    delivery_id: UUID | None = None
    endpoint_id: UUID | None = None


class TracedDelivery(Struct, frozen=True):
    """A delivery with its attempts, first to last."""

    delivery: Delivery
    attempts: Sequence[Attempt]


class Trace(Struct, frozen=True, kw_only=True):
    """The chain, each part newest first. `truncated`: there is more than is shown.

    `tenant` is None for a notification that concerns nobody yet; `unreadable` are rows that cannot be decrypted.
    """

    tenant: Tenant | None
    notifications: Sequence[JournalEntry] = ()
    esims: Sequence[Esim] = ()
    events: Sequence[Event] = ()
    deliveries: Sequence[TracedDelivery] = ()
    unreadable: Sequence[Unreadable] = ()
    truncated: bool = False
