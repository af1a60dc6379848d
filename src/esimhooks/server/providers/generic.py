"""Generic updates: what an operator with an integration of its own hands in over `POST /v1/updates`.

JSON of one update comes in, an `Update` goes out. Fields are those of the eSIM object, volumes in MB.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.plans import MAX_PLANS, MAX_PLANS_BYTES, Plan, wire_bytes
from esimhooks.server.domain.update import Cause, Doubt, Identity, Update
from esimhooks.server.domain.validation import END, PRINTABLE
from esimhooks.server.providers.fields import is_contradiction
from esimhooks.vocabulary.esim import Allowance, Device, Location
from esimhooks.vocabulary.statuses import EsimStatus, Mode, PlanState, SmdpStatus
from esimhooks.vocabulary.timestamps import timestamp_or_none
from esimhooks.vocabulary.volumes import from_megabytes

Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
LongText = Annotated[str, Meta(min_length=1, max_length=2000, pattern=PRINTABLE)]
Iccid = Annotated[str, Meta(pattern=f"^[0-9]{{18,20}}[Ff]?{END}")]
Eid = Annotated[str, Meta(pattern=f"^[0-9]{{20,40}}{END}")]
"""32 digits are right; other lengths are published and only doubtful (`docs/providers.md`)."""
Megabytes = Annotated[float, Meta(ge=0, le=1e12)]
Days = Annotated[int, Meta(ge=0, le=36_500)]
AwareTime = Annotated[datetime, Meta(tz=True)]
MAX_METADATA_BYTES = 4096
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""No eSIM has a time outside; far beyond, a duration could not be added to it."""


MetadataText = Annotated[str, Meta(max_length=MAX_METADATA_BYTES, pattern=PRINTABLE)]
Metadata = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=100, pattern=PRINTABLE)], MetadataText], Meta(max_length=20)
]


class PlanBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One plan of an eSIM; volumes in MB."""

    id: Text
    name: Text | None = None
    state: PlanState | None = None
    total_volume: Megabytes | None = None
    data_usage: Megabytes | None = None
    data_usage_remain: Megabytes | None = field(default=None, name="data_usage_remain")
    unlimited: bool | None = None
    activate_time: AwareTime | None = None
    expired_time: AwareTime | None = None


class Counted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Minutes or messages."""

    total: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None
    used: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


class LocationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the eSIM was seen."""

    country: Text | None = None
    network: Text | None = None
    at: AwareTime | None = None


class DeviceBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In which device it is."""

    make: Text | None = None
    model: Text | None = None


class TopUpBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What added the volume that the update reports."""

    transaction_id: Text | None = None
    package_code: Text | None = None


class UpdateBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One update as it is submitted. `account` and `mode` say whose eSIM it is, here or for the whole request."""

    account: Text | None = None
    mode: Mode | None = None
    cause: Literal["push", "poll", "requery"] = "push"
    occurred_at: AwareTime | None = None
    reason: Text | None = None

    transaction_id: Text | None = None
    order_no: Text | None = None
    esim_tran_no: Text | None = None
    iccid: Iccid | None = None
    package_code: Text | None = None
    package_name: Text | None = None
    imsi: Annotated[str, Meta(pattern=f"^[0-9]{{14,15}}{END}")] | None = None
    msisdn: Annotated[str, Meta(pattern=rf"^\+?[0-9]{{1,15}}{END}")] | None = None
    eid: Eid | None = None
    ac: LongText | None = None
    qr_code_url: LongText | None = None
    short_url: LongText | None = None
    apn: Text | None = None
    esim_status: EsimStatus | None = None
    smdp_status: SmdpStatus | None = None
    total_volume: Megabytes | None = None
    data_usage: Megabytes | None = None
    data_usage_remain: Megabytes | None = field(default=None, name="data_usage_remain")
    total_duration: Days | None = None
    duration_unit: Literal["DAY"] = "DAY"
    validity_usage_remain: Days | None = field(default=None, name="validity_usage_remain")
    activate_time: AwareTime | None = None
    expired_time: AwareTime | None = None
    last_usage_update: AwareTime | None = None

    provider: Text | None = None
    plans: Annotated[list[PlanBody], Meta(max_length=MAX_PLANS)] = []
    unlimited: bool | None = None
    throttled: bool | None = None
    voice: Counted | None = None
    sms: Counted | None = None
    location: LocationBody | None = None
    device: DeviceBody | None = None
    metadata: Metadata | None = None
    replaces: Text | None = None
    top_up: TopUpBody | None = None


AS_THEY_STAND = (
    *("esim_status", "smdp_status", "reason", "imsi", "msisdn", "eid", "ac", "qr_code_url", "short_url", "apn"),
    *("package_code", "package_name", "unlimited", "throttled", "replaces"),
)
"""Members that say the same inside."""


def to_update(body: UpdateBody) -> Update:
    """Return the body in the units of the inside: bytes, days, UTC. Raises `Refused` for a time no eSIM can have."""
    doubts: list[Doubt] = []
    total, used, remaining = _volumes(body, doubts)
    occurred_at, expire_at = _utc(body.occurred_at, "/occurredAt"), _utc(body.expired_time, "/expiredTime")
    return Update(
        identity=Identity(
            esim_tran_no=body.esim_tran_no,
            order_no=body.order_no,
            transaction_id=body.transaction_id,
            iccid=None if body.iccid is None else body.iccid.rstrip("Ff"),
        ),
        cause=Cause(body.cause),
        occurred_at=occurred_at,
        total_bytes=total,
        used_bytes=used,
        remaining_bytes=remaining,
        usage_at=_utc(body.last_usage_update, "/lastUsageUpdate"),
        total_days=body.total_duration,
        activate_at=_utc(body.activate_time, "/activateTime"),
        expire_at=expire_at,
        validity_days=body.validity_usage_remain,
        plans=_plans(body.plans, doubts),
        voice=_allowance(body.voice),
        sms=_allowance(body.sms),
        location=_location(body.location),
        device=_device(body.device),
        metadata=checked_metadata(body.metadata),
        top_up_transaction_id=body.top_up.transaction_id if body.top_up else None,
        top_up_package_code=body.top_up.package_code if body.top_up else None,
        by_operator=True,
        **{name: getattr(body, name) for name in AS_THEY_STAND},
        doubts=tuple(doubts),
    )


def _volumes(body: UpdateBody | PlanBody, doubts: list[Doubt]) -> tuple[int | None, int | None, int | None]:
    """Return the volume, what is used of it, and what remains where nothing else says it; all in bytes.

    What remains is the weaker figure: it counts only where it does not contradict the others.
    """
    total, used = _bytes(body.total_volume), _bytes(body.data_usage)
    remaining = _bytes(body.data_usage_remain)
    if total is None or remaining is None:
        return total, used, remaining if used is None else None
    if is_contradiction(total, max(0, total - remaining) if used is None else used, remaining):
        doubts.append(Doubt("data_usage_remain", "data_usage_remain contradicts totalVolume and dataUsage"))
        return total, used, None
    return total, max(0, total - remaining) if used is None else used, None


def _plans(bodies: Sequence[PlanBody], doubts: list[Doubt]) -> tuple[Plan, ...]:
    plans = tuple(_plan(index, plan, doubts) for index, plan in enumerate(bodies))
    if wire_bytes(plans) > MAX_PLANS_BYTES:
        raise Refused.invalid("/plans", f"expected at most {MAX_PLANS_BYTES} bytes as JSON: shorter ids and names")
    return plans


def _plan(index: int, body: PlanBody, doubts: list[Doubt]) -> Plan:
    total, used, _ = _volumes(body, doubts)
    return Plan(
        id=body.id,
        name=body.name,
        state=body.state,
        total_bytes=total,
        used_bytes=used,
        unlimited=body.unlimited,
        activate_at=_utc(body.activate_time, f"/plans/{index}/activateTime"),
        expire_at=_utc(body.expired_time, f"/plans/{index}/expiredTime"),
    )


def _allowance(body: Counted | None) -> Allowance | None:
    return None if body is None or body == Counted() else Allowance(body.total, body.used)


def _location(body: LocationBody | None) -> Location | None:
    if body is None or body == LocationBody():
        return None
    return Location(body.country, body.network, timestamp_or_none(_utc(body.at, "/location/at")))


def _device(body: DeviceBody | None) -> Device | None:
    return None if body is None or body == DeviceBody() else Device(body.make, body.model)


def checked_metadata(metadata: dict[str, str] | None) -> dict[str, str] | None:
    """Return what the operator put on an eSIM or order. Raises `Refused` where it is more than 4 KiB."""
    if metadata is not None and len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        raise Refused.invalid("/metadata", f"expected at most {MAX_METADATA_BYTES} bytes as JSON")
    return metadata


def _bytes(volume_mb: float | None) -> int | None:
    return None if volume_mb is None else from_megabytes(volume_mb)


def _utc(time: datetime | None, pointer: str) -> datetime | None:
    if time is None:
        return None
    if not EARLIEST <= time < LATEST:
        raise Refused.invalid(pointer, "expected a time from 2000 to 2099")
    return time.astimezone(UTC)
