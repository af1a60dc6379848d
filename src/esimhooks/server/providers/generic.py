"""Generic updates: what an operator with an integration of its own hands in over `POST /v1/updates`.

JSON of one update comes in, an `Update` goes out. Fields are those of the eSIM object, volumes in MB.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.patterns import END, PRINTABLE
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.domain.validation import decode
from esimhooks.vocabulary.statuses import EsimStatus, Mode, SmdpStatus
from esimhooks.vocabulary.volumes import from_megabytes

Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
LongText = Annotated[str, Meta(min_length=1, max_length=2000, pattern=PRINTABLE)]
Iccid = Annotated[str, Meta(pattern=f"^[0-9]{{18,20}}[Ff]?{END}")]
Eid = Annotated[str, Meta(pattern=f"^[0-9]{{20,40}}{END}")]
"""32 digits are right; other lengths are published and only doubtful (providers, "Identifiers")."""
Megabytes = Annotated[float, Meta(ge=0, le=1e12)]
Days = Annotated[int, Meta(ge=0, le=36_500)]
Moment = Annotated[datetime, Meta(tz=True)]
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""No eSIM has a time outside; far beyond, a duration could not be added to it."""


class UpdateBody(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One update as it is handed in. `account` and `mode` say whose eSIM it is, here or for the whole request."""

    account: Text | None = None
    mode: Mode | None = None
    cause: Literal["push", "poll", "requery"] = "push"
    occurred_at: Moment | None = None
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
    activate_time: Moment | None = None
    expired_time: Moment | None = None
    last_usage_update: Moment | None = None


def parse_body(raw: bytes) -> UpdateBody:
    """Return the update as it was handed in. Raises `Refused` with a pointer and what was expected there."""
    return decode(raw, UpdateBody)


def parse_update(raw: bytes) -> Update:
    """Return the update inside the JSON. Raises `Refused` as `parse_body`."""
    return to_update(parse_body(raw))


def to_update(body: UpdateBody) -> Update:
    """Return the body in the units of the inside: bytes, days, UTC. Raises `Refused` for a time no eSIM can have."""
    total, used = _bytes(body.total_volume), _bytes(body.data_usage)
    remaining = _bytes(body.data_usage_remain) if used is None else None
    if total is not None and remaining is not None:
        used, remaining = max(0, total - remaining), None
    return Update(
        identity=Identity(
            esim_tran_no=body.esim_tran_no,
            order_no=body.order_no,
            transaction_id=body.transaction_id,
            iccid=None if body.iccid is None else body.iccid.rstrip("Ff"),
        ),
        cause=Cause(body.cause),
        occurred_at=_utc(body.occurred_at, "/occurredAt"),
        esim_status=body.esim_status,
        reason=body.reason,
        smdp_status=body.smdp_status,
        eid=body.eid,
        total_bytes=total,
        used_bytes=used,
        remaining_bytes=remaining,
        usage_at=_utc(body.last_usage_update, "/lastUsageUpdate"),
        total_days=body.total_duration,
        activate_at=_utc(body.activate_time, "/activateTime"),
        expire_at=_utc(body.expired_time, "/expiredTime"),
        imsi=body.imsi,
        msisdn=body.msisdn,
        ac=body.ac,
        qr_code_url=body.qr_code_url,
        short_url=body.short_url,
        apn=body.apn,
        package_code=body.package_code,
        package_name=body.package_name,
    )


def _bytes(volume_mb: float | None) -> int | None:
    return None if volume_mb is None else from_megabytes(volume_mb)


def _utc(moment: datetime | None, pointer: str) -> datetime | None:
    if moment is None:
        return None
    if not EARLIEST <= moment < LATEST:
        raise Refused.invalid(pointer, "expected a time from 2000 to 2099")
    return moment.astimezone(UTC)
