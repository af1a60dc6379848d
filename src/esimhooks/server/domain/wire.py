"""From an eSIM as it is kept to the eSIM object of the wire. Bytes become MB here and nowhere else."""

import math
from datetime import datetime, timedelta

import msgspec
from msgspec import UNSET

from esimhooks.server.domain.esim import NOTHING_FURTHER, Esim
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.plans import Plan
from esimhooks.vocabulary.envelope import FieldValue
from esimhooks.vocabulary.esim import EsimData, PlanData
from esimhooks.vocabulary.timestamps import timestamp, timestamp_or_none
from esimhooks.vocabulary.volumes import megabytes

NOT_A_CHANGE = frozenset({"id", "createdAt", "updatedAt"})
"""Bookkeeping: `updatedAt` moves with every change and would say nothing in `changes`."""


def esim_data(esim: Esim, *, now: datetime) -> EsimData:
    """Return the eSIM object as it is at `now` (aware UTC), from which the days left are counted."""
    data = EsimData(
        id=text_of(Prefix.ESIM, esim.id),
        transaction_id=esim.transaction_id,
        order_no=esim.order_no,
        esim_tran_no=esim.esim_tran_no,
        package_code=esim.package_code,
        package_name=esim.package_name,
        iccid=esim.iccid,
        imsi=esim.imsi,
        msisdn=esim.msisdn,
        eid=esim.eid,
        ac=esim.ac,
        qr_code_url=esim.qr_code_url,
        short_url=esim.short_url,
        apn=esim.apn,
        esim_status=esim.status,
        smdp_status=esim.smdp_status,
        total_volume=_megabytes(esim.total_bytes),
        data_usage=_megabytes(esim.used_bytes),
        data_usage_remain=_megabytes(remaining_bytes(esim)),
        total_duration=esim.total_days,
        validity_usage_remain=days_left(esim, now=now),
        activate_time=timestamp_or_none(esim.activate_at),
        expired_time=timestamp_or_none(esim.expire_at),
        last_usage_update=timestamp_or_none(esim.usage_at),
        created_at=timestamp(esim.created_at),
        updated_at=timestamp(esim.updated_at),
    )
    return data if esim.further == NOTHING_FURTHER else _with_further(data, esim)


def _with_further(data: EsimData, esim: Esim) -> EsimData:
    further = esim.further
    return msgspec.structs.replace(
        data,
        plans=[_plan_data(plan) for plan in further.plans] or UNSET,
        unlimited=True if further.unlimited else UNSET,
        throttled=UNSET if further.throttled is None else further.throttled,
        voice=further.voice or UNSET,
        sms=further.sms or UNSET,
        location=further.location or UNSET,
        device=further.device or UNSET,
        replaces=text_of(Prefix.ESIM, further.replaces) if further.replaces else UNSET,
        replaced_by=text_of(Prefix.ESIM, further.replaced_by) if further.replaced_by else UNSET,
        metadata=dict(further.metadata) or UNSET,
    )


def _plan_data(plan: Plan) -> PlanData:
    return PlanData(
        id=plan.id,
        name=plan.name,
        state=plan.state,
        total_volume=_megabytes(plan.total_bytes),
        data_usage=_megabytes(plan.used_bytes),
        data_usage_remain=_megabytes(remaining_bytes(plan)),
        activate_time=timestamp_or_none(plan.activate_at),
        expired_time=timestamp_or_none(plan.expire_at),
    )


def remaining_bytes(esim: Esim | Plan) -> int | None:
    """Return the bytes left, never below 0, or None where volume or usage is unknown."""
    if esim.total_bytes is None or esim.used_bytes is None:
        return None
    return max(0, esim.total_bytes - esim.used_bytes)


def days_left(esim: Esim, *, now: datetime) -> int | None:
    """Return the days until the validity ends, rounded up, 0 afterwards, None where it is unknown."""
    if esim.expire_at is None:
        return None
    return max(0, math.ceil((esim.expire_at - now) / timedelta(days=1)))


def changed_fields(before: EsimData, after: EsimData) -> dict[str, FieldValue]:
    """Return the wire fields that differ, with the value before; null where the field was absent."""
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    names = old if old.keys() == new.keys() else {**old, **new}
    return {name: old.get(name) for name in names if old.get(name) != new.get(name) and name not in NOT_A_CHANGE}


def _megabytes(volume_bytes: int | None) -> int | float | None:
    return None if volume_bytes is None else megabytes(volume_bytes)
