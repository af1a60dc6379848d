"""An eSIM as the server keeps it: what providers reported and when, and what was last emitted to merchants."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.plans import Plan
from esimhooks.vocabulary.envelope import FieldValue
from esimhooks.vocabulary.esim import Allowance, Device, Location
from esimhooks.vocabulary.statuses import EsimStatus, Mode, SmdpStatus


class Reported(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was reported of the eSIM as a whole, where its own members follow from more than that. Times are aware UTC.

    `activated` says that a status beyond `CREATED` was reported; `first_active_at` is the earliest active one. `end` is the end that the provider reported;
    `of_plan` says that it is the plan's, while one reported before the activation is the deadline for installing.
    The figures (bytes) stand here where the eSIM has plans, whose sums count before them.
    """

    reported_activation: datetime | None = None
    activated: bool = False
    first_active_at: datetime | None = None
    end: datetime | None = None
    of_plan: bool = False
    total_bytes: int | None = None
    used_bytes: int | None = None
    unlimited: bool | None = None


class OpenTopUp(Struct, frozen=True):
    """A top-up that was ordered for an eSIM and whose volume no provider has reported yet."""

    transaction_id: str
    package_code: str


class Further(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What only some eSIMs have (eSIM object, "Further members")."""

    plans: tuple[Plan, ...] = ()
    unlimited: bool | None = None
    throttled: bool | None = None
    voice: Allowance | None = None
    sms: Allowance | None = None
    location: Location | None = None
    device: Device | None = None
    replaces: UUID | None = None
    replaced_by: UUID | None = None
    metadata: Mapping[str, str] = {}
    open_top_ups: tuple[OpenTopUp, ...] = ()
    """In the order in which they were ordered."""


NOTHING_FURTHER = Further()
NOTHING_REPORTED = Reported()


class Esim(Struct, frozen=True, kw_only=True):
    """State of one eSIM. Volumes are bytes, durations days, times aware UTC; what nobody has reported is None.

    `status_at`, `smdp_at` and `usage_at` are the provider's times of the last update applied on each axis;
    `smdp_sequence` is the eUICC's number of the last profile notification that had one, for the same `eid`, and
    `smdp_unnumbered` says that a status without a number has been applied since; `validity_at` is the provider's time of
    the end of validity. `reported_at` has, by name, when each detail and term of validity was reported.
    `last_digests` has, by source, the digest of the last bytes without id and time that were applied.
    """

    id: UUID
    account_id: UUID
    mode: Mode
    created_at: datetime
    updated_at: datetime
    order_id: UUID | None = None
    provider: str | None = None

    transaction_id: str
    order_no: str | None = None
    esim_tran_no: str | None = None
    package_code: str | None = None
    package_name: str | None = None
    iccid: str | None = None
    imsi: str | None = None
    msisdn: str | None = None
    eid: str | None = None
    ac: str | None = None
    qr_code_url: str | None = None
    short_url: str | None = None
    apn: str | None = None

    status: EsimStatus | None = None
    status_at: datetime | None = None
    smdp_status: SmdpStatus | None = None
    smdp_at: datetime | None = None
    smdp_sequence: int | None = None
    smdp_unnumbered: bool = False
    total_bytes: int | None = None
    used_bytes: int | None = None
    usage_at: datetime | None = None
    total_days: int | None = None
    activate_at: datetime | None = None
    expire_at: datetime | None = None
    validity_at: datetime | None = None

    reported: Reported = NOTHING_REPORTED
    reported_at: Mapping[str, datetime] = {}
    further: Further = NOTHING_FURTHER
    last_digests: Mapping[str, str] = {}

    sequence: int = 0
    """Number of events raised so far."""
    usage_emitted_at: datetime | None = None
    """When a usage event was last emitted; pushed usage waits for `usageInterval` after it."""
    pending_until: datetime | None = None
    """When pushed usage that waits for the interval is emitted by itself."""
    validity_days_noticed: int | None = None
    """Days left in the last validity notification, so that its repetition raises nothing."""
    pending_changes: Mapping[str, FieldValue] = {}
    """Wire fields that changed since the last event, with the value that was last emitted."""


class EsimFilter(Struct, frozen=True, kw_only=True):
    """What a list of eSIMs may be narrowed to; None means any."""

    status: EsimStatus | None = None
    iccid: str | None = None
    transaction_id: str | None = None
    order_no: str | None = None
