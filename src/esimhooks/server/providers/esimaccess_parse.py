"""What eSIM Access pushes becomes a `Notification`.

A verified request comes in, in any of the shapes that the provider documents: JSON body, form body, query string, with
or without `notifyId` and `eventGenerateTime`. Nothing is asked or stored; what cannot be understood is `Unparsable`.
"""

from datetime import datetime
from typing import assert_never

from esimhooks.server.domain.notification import InboundRequest, Notification, OrderRef
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.providers.bodies import Members, read_form, read_json
from esimhooks.server.providers.esimaccess_words import (
    ESIM_STATUS,
    FAILED_ON_DEVICE,
    NOTIFY_TYPES,
    ORDER_READY,
    SMDP_STATUS,
    NotifyType,
)
from esimhooks.server.providers.fields import MAX_DAYS, MAX_SEQUENCE, Fields, volume
from esimhooks.server.providers.identifiers import doubts
from esimhooks.server.providers.port import Unparsable

MAX_EID_DIGITS = 40
_DAY_UNITS = frozenset({"DAY", "DAYS"})


def parse(request: InboundRequest) -> Notification:
    """Turn a request into facts. Raises `Unparsable` with what was expected and what came."""
    envelope = Fields(_members(request))
    kind = envelope.word("notifyType", NOTIFY_TYPES)
    if kind is None:
        raise envelope.missing("notifyType")
    own_id = envelope.text("notifyId")
    told_at = envelope.moment("eventGenerateTime")
    if kind is NotifyType.CHECK_HEALTH:
        return Notification(kind=kind.value, own_id=own_id, occurred_at=told_at)
    content = envelope.section("content")
    if kind is NotifyType.ORDER_STATUS:
        return Notification(kind=kind.value, own_id=own_id, occurred_at=told_at, order_ready=_order(content))
    update = _update(kind, content, told_at)
    return Notification(
        kind=kind.value,
        own_id=own_id,
        occurred_at=told_at,
        updates=(update,),
        warnings=doubts(iccid=update.identity.iccid, eid=update.eid) + _failure(kind, content),
    )


def identity(fields: Fields) -> Identity:
    """Return the keys that an object of eSIM Access carries."""
    return Identity(
        esim_tran_no=fields.text("esimTranNo"),
        order_no=fields.text("orderNo"),
        transaction_id=fields.text("transactionId"),
        iccid=fields.iccid("iccid"),
    )


def duration_days(fields: Fields) -> int | None:
    """Return `totalDuration` in days, or None where it is told in another unit."""
    days = fields.whole("totalDuration", most=MAX_DAYS)
    return days if _in_days(fields) else None


def used(fields: Fields, *, remain: str) -> int | None:
    """Return the bytes used: `orderUsage`, else the total without what the field `remain` says is left."""
    told, total, left = volume(fields, "orderUsage"), volume(fields, "totalVolume"), volume(fields, remain)
    if told is not None or total is None or left is None:
        return told
    if left > total:
        raise fields.wrong(remain, f"at most totalVolume {total}", left)
    return total - left


def _members(request: InboundRequest) -> Members:
    body = request.body.strip()
    if not body and not request.query:
        raise Unparsable("expected a JSON object or a form, got an empty body")
    if not body:
        return read_form(request.query.encode("utf-8", "surrogatepass"))
    # The body's own shape decides: which content type a form or JSON comes with is documented nowhere.
    return read_json(body) if body[:1] in b'{["' or b"=" not in body else read_form(body)


def _update(kind: NotifyType, content: Fields, told_at: datetime | None) -> Update:
    whose = identity(content)
    if whose == Identity():
        raise content.missing("one of esimTranNo, orderNo, transactionId, iccid")
    match kind:
        case NotifyType.ESIM_STATUS:
            return _esim_status(whose, content, told_at)
        case NotifyType.SMDP_EVENT:
            return _smdp_event(whose, content, told_at)
        case NotifyType.DATA_USAGE:
            return _data_usage(whose, content, told_at)
        case NotifyType.VALIDITY_USAGE:
            return _validity_usage(whose, content, told_at)
        case NotifyType.ORDER_STATUS | NotifyType.CHECK_HEALTH:
            raise Unparsable(f"expected a notification about an eSIM, got {kind}")
        case _:
            assert_never(kind)


def _order(content: Fields) -> OrderRef | None:
    ref = OrderRef(order_no=content.text("orderNo"), transaction_id=content.text("transactionId"))
    if ref == OrderRef():
        raise content.missing("orderNo")
    ready = content.word("orderStatus", ORDER_READY)
    if ready is None:
        raise content.missing("orderStatus")
    return ref if ready else None


def _esim_status(whose: Identity, content: Fields, told_at: datetime | None) -> Update:
    status = content.word("esimStatus", ESIM_STATUS)
    if status is None:
        raise content.missing("esimStatus")
    used_bytes = used(content, remain="remainVolume")
    total_bytes = volume(content, "totalVolume")
    figures_told = used_bytes is not None or total_bytes is not None
    return Update(
        identity=whose,
        occurred_at=told_at,
        esim_status=status,
        smdp_status=content.word("smdpStatus", SMDP_STATUS),
        total_bytes=total_bytes,
        used_bytes=used_bytes,
        usage_at=_usage_at(content, told_at) if figures_told else None,
    )


def _smdp_event(whose: Identity, content: Fields, told_at: datetime | None) -> Update:
    profile = content.word("smdpStatus", SMDP_STATUS)
    if profile is None:
        raise content.missing("smdpStatus")
    sequence = content.whole("seqNumber", most=MAX_SEQUENCE)
    reached = content.text("notifyStatus") not in FAILED_ON_DEVICE
    return Update(
        identity=whose,
        occurred_at=content.moment("timestamp") or told_at,
        esim_status=content.word("esimStatus", ESIM_STATUS),
        smdp_status=profile if reached else None,
        smdp_sequence=sequence if reached else None,
        eid=content.digits("eid", limit=MAX_EID_DIGITS),
    )


def _data_usage(whose: Identity, content: Fields, told_at: datetime | None) -> Update:
    used_bytes = used(content, remain="remain")
    if used_bytes is None:
        raise content.missing("orderUsage, or totalVolume with remain")
    return Update(
        identity=whose,
        occurred_at=told_at,
        total_bytes=volume(content, "totalVolume"),
        used_bytes=used_bytes,
        usage_at=_usage_at(content, told_at),
    )


def _validity_usage(whose: Identity, content: Fields, told_at: datetime | None) -> Update:
    left = content.whole("remain", most=MAX_DAYS)
    if left is None:
        raise content.missing("remain")
    if not _in_days(content):
        raise content.wrong("durationUnit", "DAY", content.text("durationUnit"))
    return Update(
        identity=whose,
        cause=Cause.VALIDITY,
        occurred_at=told_at,
        validity_days=left,
        total_days=duration_days(content),
        expire_at=content.moment("expiredTime"),
    )


def _usage_at(content: Fields, told_at: datetime | None) -> datetime | None:
    # Without a time of its own a figure is at least no newer than the notification that carries it.
    return content.moment("lastUpdateTime") or told_at


def _in_days(fields: Fields) -> bool:
    unit = fields.text("durationUnit")
    return unit is None or unit.upper() in _DAY_UNITS


def _failure(kind: NotifyType, content: Fields) -> tuple[str, ...]:
    status = content.text("notifyStatus") if kind is NotifyType.SMDP_EVENT else None
    if status not in FAILED_ON_DEVICE:
        return ()
    return (f"notifyStatus {status}: smdpStatus {content.text('smdpStatus')} was not reached",)
