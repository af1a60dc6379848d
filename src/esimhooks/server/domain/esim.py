"""An eSIM as the server keeps it: what providers told, when they told it, and what merchants were last told."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.vocabulary.envelope import FieldValue
from esimhooks.vocabulary.statuses import EsimStatus, Mode, SmdpStatus


class Esim(Struct, frozen=True, kw_only=True):
    """State of one eSIM. Volumes are bytes, durations days, times aware UTC; what nobody has told is None.

    `status_at`, `smdp_at` and `usage_at` are the provider's times of the last update applied on each axis;
    `smdp_sequence` is the eUICC's number of the last profile notification that had one, for the same `eid`, and
    `smdp_unnumbered` tells that a word without a number has been applied since; `validity_at` is the
    provider's time of the end of validity where it told one.
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

    sequence: int = 0
    """Number of events raised so far."""
    usage_told_at: datetime | None = None
    """When a usage event was last raised; pushed usage waits for `usageInterval` after it."""
    validity_days_noticed: int | None = None
    """Days left in the last validity notification, so that its repetition raises nothing."""
    held: dict[str, FieldValue] = {}
    """Wire fields that changed since the last event, with the value that merchants were last told."""


class EsimFilter(Struct, frozen=True, kw_only=True):
    """What a list of eSIMs may be narrowed to; None means any."""

    status: EsimStatus | None = None
    iccid: str | None = None
    transaction_id: str | None = None
    order_no: str | None = None
