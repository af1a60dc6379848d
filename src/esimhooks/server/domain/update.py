"""An update: the normalised content of a notification, a poll, a requery or `POST /v1/updates`, with what was unclear in it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from esimhooks.server.domain.plans import Plan
from esimhooks.vocabulary.esim import Allowance, Device, Location
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus


class Doubt(Struct, frozen=True):
    """A warning: a member that was not understood and is left out. The operator gets it as the event `provider.doubt`.

    `field` is the member's name, `detail` a sentence for the journal without secrets or whole personal numbers. `word` is
    the unknown text, such as a new status; None where the value itself is wrong.
    """

    field: str
    detail: str
    word: str | None = None


class Cause(StrEnum):
    """Who brought the update; it decides which usage events a change raises."""

    PUSH = "push"
    """A provider or the operator reported it."""
    VALIDITY = "validity"
    """A provider reminded of the days that are left."""
    POLL = "poll"
    """The scheduler queried the usage."""
    REQUERY = "requery"
    """A person refreshed it from the provider; an authoritative snapshot."""
    FILL = "fill"
    """An order was allocated and its eSIMs were fetched; an authoritative snapshot."""
    ORDER_POLL = "order_poll"
    """The scheduler queried an order that stays pending; an authoritative snapshot."""
    CLOCK = "clock"
    """The validity ended and the provider has said nothing."""


class Identity(Struct, frozen=True, kw_only=True):
    """What identifies the eSIM of an update. An ICCID alone identifies nothing: providers re-use them."""

    esim_tran_no: str | None = None
    order_no: str | None = None
    transaction_id: str | None = None
    iccid: str | None = None


class Update(Struct, frozen=True, kw_only=True):
    """New facts about one eSIM; None means "not reported". Volumes are bytes, durations days, times aware UTC.

    `occurred_at` is the provider's time of the statuses, `usage_at` its time of the usage figures. For an
    authoritative snapshot without a time of its own, `occurred_at` is when the provider was queried.
    `replaces` is the provider's key, or our id, of another eSIM that this one takes the place of.
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
    """What is left, without the volume or the usage: it counts against the volume that is known."""
    used_percent: Decimal | None = None
    """What is used in percent, without figures: it counts against the volume that is known."""
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

    plans: tuple[Plan, ...] = ()
    unlimited: bool | None = None
    throttled: bool | None = None
    voice: Allowance | None = None
    sms: Allowance | None = None
    location: Location | None = None
    device: Device | None = None
    metadata: Mapping[str, str] | None = None
    replaces: str | None = None
    top_up_transaction_id: str | None = None
    top_up_package_code: str | None = None
    announcement: str | None = None
    """What the provider says will happen while nothing has changed yet; it is emitted as a reason."""

    by_operator: bool = False
    """From the operator's own integration, which may bring an eSIM back from a terminal status."""
    doubts: tuple[Doubt, ...] = ()
    """What could not be understood of it, or contradicts itself, and was left out."""

    @property
    def authoritative(self) -> bool:
        """True for a snapshot that was read from the provider."""
        return self.cause in (Cause.REQUERY, Cause.FILL, Cause.ORDER_POLL)

    @property
    def says_nothing(self) -> bool:
        """Whether there is no fact in it, beside what identifies the eSIM."""
        return self == Update(
            identity=self.identity,
            cause=self.cause,
            occurred_at=self.occurred_at,
            smdp_sequence=self.smdp_sequence,
            usage_at=self.usage_at,
            reason=self.reason,
            by_operator=self.by_operator,
            doubts=self.doubts,
        )
