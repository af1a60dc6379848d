"""One worked example of each event, as the life of one eSIM from purchase to the end of its validity.

Made from the type that builds the payloads. Every identifier is synthetic; the ICCID's and the EID's check digits
are right.
"""

import re
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from esimhooks.vocabulary.envelope import Envelope, FieldChange
from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import EsimStatus, Mode, Reason, SmdpStatus
from esimhooks.vocabulary.timestamps import timestamp

_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")

_ORDERED = EsimData(
    id="esim_01m83t4cqvemq8k9w39qsaekf4",
    transaction_id="shop-2026-104233",
    order_no="B26112309000121",
    esim_tran_no="26112309000184",
    package_code="CKH003",
    package_name="Spain 5GB 30Days",
    esim_status=EsimStatus.PENDING,
    total_duration=30,
    created_at="2026-11-23T09:00:00.123Z",
    updated_at="2026-11-23T09:00:00.123Z",
    metadata={"customer": "c-1042"},
)
_CREATED = msgspec.structs.replace(
    _ORDERED,
    iccid="8943000000123456785",
    imsi="001010123456789",
    ac="LPA:1$smdp.example.com$95144C76517938A46B9688BB7C3259FC",
    qr_code_url="https://hooks.example.com/qr/6kQx0c2mYVb3nH9rT1sWpA.png",
    short_url="https://qr.example.com/c656cb27b7a6",
    apn="internet.example",
    esim_status=EsimStatus.CREATED,
    smdp_status=SmdpStatus.RELEASED,
    total_volume=5120,
    data_usage=0,
    data_usage_remain=5120,
    validity_usage_remain=180,
    expired_time="2027-05-22T09:00:12.000Z",
    last_usage_update="2026-11-23T09:00:12.000Z",
    updated_at="2026-11-23T09:00:12.481Z",
)
_DOWNLOADED = msgspec.structs.replace(
    _CREATED,
    eid="89049032000001000001234567890111",
    smdp_status=SmdpStatus.DOWNLOADED,
    updated_at="2026-11-23T09:42:08.214Z",
)
_ACTIVATED = msgspec.structs.replace(
    _DOWNLOADED,
    esim_status=EsimStatus.IN_USE,
    smdp_status=SmdpStatus.ENABLED,
    validity_usage_remain=30,
    activate_time="2026-11-23T10:15:30.123Z",
    expired_time="2026-12-23T10:15:30.123Z",
    updated_at="2026-11-23T10:15:31.406Z",
)
_QUARTER_USED = msgspec.structs.replace(
    _ACTIVATED,
    data_usage=1331.2,
    data_usage_remain=3788.8,
    validity_usage_remain=27,
    last_usage_update="2026-11-26T18:05:41.000Z",
    updated_at="2026-11-26T18:05:42.377Z",
)
_POLLED = msgspec.structs.replace(
    _QUARTER_USED,
    data_usage=2304.75,
    data_usage_remain=2815.25,
    validity_usage_remain=24,
    last_usage_update="2026-11-30T04:10:00.000Z",
    updated_at="2026-11-30T06:00:03.018Z",
)
_REQUERIED = msgspec.structs.replace(
    _POLLED,
    data_usage=2411.5,
    data_usage_remain=2708.5,
    validity_usage_remain=22,
    last_usage_update="2026-12-01T12:30:00.000Z",
    updated_at="2026-12-01T14:20:06.655Z",
)
_SUSPENDED = msgspec.structs.replace(
    _REQUERIED,
    esim_status=EsimStatus.SUSPENDED,
    validity_usage_remain=19,
    updated_at="2026-12-04T11:31:01.090Z",
)
_EXPIRED = msgspec.structs.replace(
    _SUSPENDED,
    esim_status=EsimStatus.UNUSED_EXPIRED,
    validity_usage_remain=0,
    updated_at="2026-12-23T10:15:30.561Z",
)


def _between(before: EsimData, after: EsimData) -> dict[str, FieldChange]:
    """The days left go down by themselves; they are a change only where the end of the validity moved."""
    moved = before.expired_time != after.expired_time
    silent = {"updatedAt"} if moved else {"updatedAt", "validity_usage_remain"}
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    return {
        name: FieldChange(old=old[name], new=new[name]) for name in old if old[name] != new[name] and name not in silent
    }


def _example(sequence: int, event: EventType, before: EsimData, after: EsimData, **fields: Any) -> Envelope:
    moved = before.esim_status is not after.esim_status
    return Envelope(
        event=event,
        data=after,
        previous_status=before.esim_status if moved and before.esim_status else UNSET,
        new_status=after.esim_status if moved and after.esim_status else UNSET,
        changes=_between(before, after),
        sequence=sequence,
        mode=Mode.LIVE,
        **fields,
    )


_EXAMPLES = (
    _example(
        1,
        EventType.CREATED,
        _ORDERED,
        _CREATED,
        id="evt_01m83t4rt4ewya7mtfh7et2jac",
        timestamp="2026-11-23T09:00:12.000Z",
    ),
    _example(
        2,
        EventType.STATUS_CHANGED,
        _CREATED,
        _DOWNLOADED,
        id="evt_01m83whhjsfptv3zvt07p9j44d",
        timestamp="2026-11-23T09:42:07.000Z",
    ),
    _example(
        3,
        EventType.ACTIVATED,
        _DOWNLOADED,
        _ACTIVATED,
        id="evt_01m83yenthexst103rnxstpj3p",
        timestamp="2026-11-23T10:15:30.123Z",
    ),
    _example(
        4,
        EventType.DATA_UPDATED,
        _ACTIVATED,
        _QUARTER_USED,
        id="evt_01m8cghrkcfpq8r9ttvtb5xphj",
        timestamp="2026-11-26T18:05:41.000Z",
        thresholds=[25],
    ),
    _example(
        5,
        EventType.USAGE_UPDATED,
        _QUARTER_USED,
        _POLLED,
        id="evt_01m8ngkxpeebta1grwe36wrt99",
        timestamp="2026-11-30T06:00:03.018Z",
    ),
    _example(
        7,
        EventType.REQUERIED,
        _POLLED,
        _REQUERIED,
        id="evt_01m8rzm943eyeaejrszegkzzks",
        timestamp="2026-12-01T14:20:05.902Z",
    ),
    _example(
        8,
        EventType.SUSPENDED,
        _REQUERIED,
        _SUSPENDED,
        id="evt_01m90d4tb6fjr8c1gycgqtj515",
        timestamp="2026-12-04T11:31:00.000Z",
        reason=Reason.SUSPENDED.value,
    ),
    _example(
        9,
        EventType.EXPIRED,
        _SUSPENDED,
        _EXPIRED,
        id="evt_01mah6c705ewjrj4sbwx6tqd41",
        timestamp="2026-12-23T10:15:30.123Z",
        reason=Reason.UNUSED_DATA_EXPIRED.value,
    ),
)
"""Number 6 is the `esim.usage_updated` that goes before `esim.requeried`."""

_BY_TYPE = {example.event: example for example in _EXAMPLES}


def example_of(event: EventType) -> Envelope:
    """Return the worked example of this event; always the same."""
    return _BY_TYPE[event]


def example_at(event: EventType, at: datetime) -> Envelope:
    """Return the worked example with all of its times moved, so that it was last updated at `at` (aware UTC)."""
    example = example_of(event)
    by = at - datetime.fromisoformat(example.data.updated_at)

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: moved(one) for name, one in value.items()}
        if isinstance(value, str) and _TIME.fullmatch(value):
            return timestamp(datetime.fromisoformat(value) + by)
        return value

    return msgspec.convert(moved(msgspec.to_builtins(example)), Envelope)
