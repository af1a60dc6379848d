"""An update: the normalised content of a notification, a poll, a requery or `POST /v1/updates`."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus


class Cause(StrEnum):
    """Who brought the update; it decides which usage events a change raises (lifecycle, "Usage")."""

    PUSH = "push"
    """A provider or the operator told us."""
    VALIDITY = "validity"
    """A provider reminded of the days that are left."""
    POLL = "poll"
    """The scheduler asked for the usage."""
    REQUERY = "requery"
    """A person asked the provider again; an authoritative snapshot."""
    FILL = "fill"
    """An order was allocated and its eSIMs were fetched; an authoritative snapshot."""
    ORDER_POLL = "order_poll"
    """The scheduler asked for an order that stays pending; an authoritative snapshot."""
    CLOCK = "clock"
    """The validity ended and the provider has said nothing."""


class Identity(Struct, frozen=True, kw_only=True):
    """What an update says about whose it is. An ICCID alone identifies nothing: providers re-use them."""

    esim_tran_no: str | None = None
    order_no: str | None = None
    transaction_id: str | None = None
    iccid: str | None = None


class Update(Struct, frozen=True, kw_only=True):
    """New facts about one eSIM; None means "not told". Volumes are bytes, durations days, times aware UTC.

    `occurred_at` is the provider's time of the statuses, `usage_at` its time of the usage figures. For an
    authoritative snapshot `occurred_at` is the moment at which asking began.
    """

    identity: Identity
    cause: Cause = Cause.PUSH
    occurred_at: datetime | None = None

    esim_status: EsimStatus | None = None
    reason: str | None = None
    smdp_status: SmdpStatus | None = None
    smdp_sequence: int | None = None
    eid: str | None = None

    total_bytes: int | None = None
    used_bytes: int | None = None
    remaining_bytes: int | None = None
    """What is left, told without the volume or the usage: it counts against the volume that is known."""
    usage_at: datetime | None = None

    validity_days: int | None = None
    total_days: int | None = None
    activate_at: datetime | None = None
    expire_at: datetime | None = None

    imsi: str | None = None
    msisdn: str | None = None
    ac: str | None = None
    qr_code_url: str | None = None
    short_url: str | None = None
    apn: str | None = None
    package_code: str | None = None
    package_name: str | None = None

    @property
    def authoritative(self) -> bool:
        """True for a snapshot that was read from the provider, which outranks what was pushed before it."""
        return self.cause in (Cause.REQUERY, Cause.FILL, Cause.ORDER_POLL)
