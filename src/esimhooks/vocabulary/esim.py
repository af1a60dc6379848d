"""The eSIM object: `data` of every webhook and the answer of `GET /v1/esims/{id}`.

One msgspec type from which payload bytes, JSON Schema and examples come. Field names and units are those of the
events guide, the odd ones included. Volumes are MB (1 048 576 bytes), durations days, times UTC.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from esimhooks.vocabulary.statuses import EsimStatus, PlanState, SmdpStatus
from esimhooks.vocabulary.timestamps import Timestamp

Megabytes = Annotated[int | float, Meta(description="MB, 1 MB = 1 048 576 bytes, 2 decimals")]
Iccid = Annotated[str, Meta(pattern="^[0-9]{18,20}$", description="18-20 digits, never a number")]


class PlanData(Struct, frozen=True, kw_only=True, rename="camel"):
    """One of the plans (bundles, packages) of an eSIM. What no provider has reported is null."""

    id: str
    name: str | None = None
    state: PlanState | None = None
    total_volume: Megabytes | None = None
    data_usage: Megabytes | None = None
    data_usage_remain: Megabytes | None = field(default=None, name="data_usage_remain")
    activate_time: Timestamp | None = None
    expired_time: Timestamp | None = None


class Allowance(Struct, frozen=True):
    """Minutes of voice, or text messages, of an eSIM."""

    total: int | None = None
    used: int | None = None


class Location(Struct, frozen=True):
    """Where an eSIM was last seen: ISO 3166 country, network by name or MCC and MNC, and when."""

    country: str | None = None
    network: str | None = None
    at: Timestamp | None = None


class Device(Struct, frozen=True):
    """The device in which the profile is installed, as its provider names it."""

    make: str | None = None
    model: str | None = None


class EsimData(Struct, frozen=True, kw_only=True, rename="camel"):
    """State of one eSIM as merchants see it. Null is what no provider has reported; from `plans` on it is absent."""

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
    plans: list[PlanData] | UnsetType = UNSET
    unlimited: (
        Annotated[bool, Meta(description="without a limit of data: the volume and what remains are null")] | UnsetType
    ) = UNSET
    throttled: Annotated[bool, Meta(description="slowed down by a fair-use rule")] | UnsetType = UNSET
    voice: Allowance | UnsetType = UNSET
    sms: Allowance | UnsetType = UNSET
    location: Location | UnsetType = UNSET
    device: Device | UnsetType = UNSET
    replaces: Annotated[str, Meta(description="id of the eSIM that this one replaces")] | UnsetType = UNSET
    replaced_by: Annotated[str, Meta(description="id of the eSIM that replaces this one")] | UnsetType = UNSET
    metadata: Annotated[dict[str, str], Meta(description="what the operator put on the order")] | UnsetType = UNSET
