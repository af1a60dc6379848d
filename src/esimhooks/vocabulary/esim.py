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
    """One of the plans (bundles, packages) of an eSIM. Null is what no provider has reported."""

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

    id: Annotated[str, Meta(description="`esim_` and 26 characters")]
    transaction_id: Annotated[str, Meta(description="your reference of the order")]
    order_no: Annotated[str | None, Meta(description="the provider's number of the order")] = None
    esim_tran_no: Annotated[str | None, Meta(description="the provider's key of the eSIM")] = None
    package_code: Annotated[str | None, Meta(description="the plan that was ordered")] = None
    package_name: Annotated[str | None, Meta(description="name of that plan")] = None
    iccid: Annotated[Iccid | None, Meta(description="number of the profile, 18-20 digits as text")] = None
    imsi: Annotated[str | None, Meta(description="number of the subscriber")] = None
    msisdn: Annotated[str | None, Meta(description="phone number")] = None
    eid: Annotated[str | None, Meta(description="number of the device's eUICC")] = None
    ac: Annotated[str | None, Meta(description="activation code, `LPA:1$...`: a credential")] = None
    qr_code_url: Annotated[str | None, Meta(description="picture of the activation code: a credential")] = None
    short_url: Annotated[str | None, Meta(description="the provider's page for the installation")] = None
    apn: Annotated[str | None, Meta(description="access point name")] = None
    esim_status: Annotated[EsimStatus | None, Meta(description="status of the eSIM")] = None
    smdp_status: Annotated[SmdpStatus | None, Meta(description="status of its profile")] = None
    total_volume: Annotated[Megabytes | None, Meta(description="data volume, MB")] = None
    data_usage: Annotated[Megabytes | None, Meta(description="data used, MB")] = None
    data_usage_remain: Annotated[Megabytes | None, Meta(description="data left, MB")] = field(
        default=None, name="data_usage_remain"
    )
    total_duration: Annotated[int | None, Meta(description="validity in days")] = None
    duration_unit: Literal["DAY"] = "DAY"
    validity_usage_remain: Annotated[int | None, Meta(description="days left until `expiredTime`")] = field(
        default=None, name="validity_usage_remain"
    )
    activate_time: Annotated[Timestamp | None, Meta(description="when it was activated")] = None
    expired_time: Annotated[
        Timestamp | None, Meta(description="when its validity ends; before activation, when it must be activated")
    ] = None
    last_usage_update: Annotated[Timestamp | None, Meta(description="when its usage was measured")] = None
    created_at: Annotated[Timestamp, Meta(description="when it was created here")]
    updated_at: Annotated[Timestamp, Meta(description="when it last changed")]
    plans: Annotated[list[PlanData], Meta(description="its plans, where the provider reports them")] | UnsetType = UNSET
    unlimited: (
        Annotated[bool, Meta(description="data is unlimited: volume and remaining data are null")] | UnsetType
    ) = UNSET
    throttled: Annotated[bool, Meta(description="speed is reduced under a fair-use policy")] | UnsetType = UNSET
    voice: Annotated[Allowance, Meta(description="minutes")] | UnsetType = UNSET
    sms: Annotated[Allowance, Meta(description="text messages")] | UnsetType = UNSET
    location: Annotated[Location, Meta(description="where it was last seen")] | UnsetType = UNSET
    device: Annotated[Device, Meta(description="the device in which it is installed")] | UnsetType = UNSET
    replaces: Annotated[str, Meta(description="id of the eSIM that this one replaces")] | UnsetType = UNSET
    replaced_by: Annotated[str, Meta(description="id of the eSIM that replaces this one")] | UnsetType = UNSET
    metadata: Annotated[dict[str, str], Meta(description="what was stored with the order")] | UnsetType = UNSET
