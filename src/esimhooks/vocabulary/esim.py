"""The eSIM object: `data` of every webhook and the answer of `GET /v1/esims/{id}`.

One msgspec type from which payload bytes, JSON Schema and examples come. Field names and units are those of the
events guide, the odd ones included. Volumes are MB (1 048 576 bytes), durations days, times UTC.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from esimhooks.vocabulary.timestamps import Timestamp

Megabytes = Annotated[int | float, Meta(description="MB, 1 MB = 1 048 576 bytes, 2 decimals")]
Iccid = Annotated[str, Meta(pattern="^[0-9]{18,20}$", description="18-20 digits, never a number")]


class EsimData(Struct, frozen=True, kw_only=True, rename="camel"):
    """State of one eSIM as merchants see it. What no provider has told is null."""

    id: str
    transaction_id: str
    order_no: str | None = None
    esim_tran_no: str | None = None
    package_code: str | None = None
    package_name: str | None = None
    iccid: Iccid | None = None
    imsi: str | None = None
    msisdn: str | None = None
    eid: str | None = None
    ac: str | None = None
    qr_code_url: str | None = None
    short_url: str | None = None
    apn: str | None = None
    esim_status: EsimStatus | None = None
    smdp_status: SmdpStatus | None = None
    total_volume: Megabytes | None = None
    data_usage: Megabytes | None = None
    data_usage_remain: Megabytes | None = field(default=None, name="data_usage_remain")
    total_duration: int | None = None
    duration_unit: Literal["DAY"] = "DAY"
    validity_usage_remain: int | None = field(default=None, name="validity_usage_remain")
    activate_time: Timestamp | None = None
    expired_time: Timestamp | None = None
    last_usage_update: Timestamp | None = None
    created_at: Timestamp
    updated_at: Timestamp
