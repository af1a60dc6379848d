"""What eSIM Access pushes becomes a `Notification`; its words for statuses, and what each means in ours.

A verified request comes in, in any of the shapes that the provider documents: JSON body, form body, query string, with
or without `notifyId` and `eventGenerateTime`. Nothing is queried or stored. A member that is not understood is a doubt, and
the rest is applied.
"""

from datetime import datetime
from enum import Enum, StrEnum
from typing import assert_never

from esimhooks.server.domain.notification import InboundRequest, Notification, OrderRef, OrderUpdate
from esimhooks.server.domain.update import Cause, Doubt, Identity, Update
from esimhooks.server.providers.bodies import Members, read_form, read_json
from esimhooks.server.providers.fields import (
    MAX_DAYS,
    MAX_SEQUENCE,
    Fields,
    check_digit_doubts,
    digits_of,
    iccid_of,
    is_contradiction,
    safe_message,
    time_of,
    unusable,
    volume,
)
from esimhooks.server.providers.port import Unparsable
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus

ESIM_STATUS: dict[str, EsimStatus] = {
    "CREATE": EsimStatus.PENDING,
    "PAYING": EsimStatus.PENDING,
    "PAID": EsimStatus.PENDING,
    "GETTING_RESOURCE": EsimStatus.PENDING,
    "GOT_RESOURCE": EsimStatus.CREATED,
    "IN_USE": EsimStatus.IN_USE,
    "USED_UP": EsimStatus.USED_UP,
    "USED_EXPIRED": EsimStatus.USED_EXPIRED,
    "UNUSED_EXPIRED": EsimStatus.UNUSED_EXPIRED,
    "CANCEL": EsimStatus.CANCEL,
    "SUSPENDED": EsimStatus.SUSPENDED,
    "REVOKE": EsimStatus.REVOKED,
    "REVOKED": EsimStatus.REVOKED,
}

SMDP_STATUS: dict[str, SmdpStatus] = {
    "RELEASED": SmdpStatus.RELEASED,
    "DOWNLOAD": SmdpStatus.DOWNLOADED,
    "INSTALLATION": SmdpStatus.INSTALLED,
    "ENABLED": SmdpStatus.ENABLED,
    "DISABLED": SmdpStatus.DISABLED,
    "DELETED": SmdpStatus.DELETED,
}


DATA_TYPES: dict[str, bool] = {"1": False, "2": False, "3": False, "4": True}
"""`dataType` of an eSIM, and whether its volume has no limit: in total, a day with reduced speed behind it, a day with an
end behind it, and a day without limit."""


class OrderState(Enum):
    """What an `orderStatus` says of a whole order."""

    ON_ITS_WAY = "on its way"
    READY = "ready"
    """Its eSIMs can be fetched."""
    FAILED = "failed"
    """It will never be filled."""
    REFUNDED = "refunded"


ORDER_STATES: dict[str, OrderState] = {
    "CREATE": OrderState.ON_ITS_WAY,
    "PAYING": OrderState.ON_ITS_WAY,
    "PAID": OrderState.ON_ITS_WAY,
    "GETTING_RESOURCE": OrderState.ON_ITS_WAY,
    "GOT_RESOURCE": OrderState.READY,
    **dict.fromkeys(("FAIL", "FAILED", "CANCEL", "CANCELED", "CANCELLED"), OrderState.FAILED),
    **dict.fromkeys(("REFUND", "REFUNDED"), OrderState.REFUNDED),
}
"""`orderStatus`; the documentation names none of those that fail, consumers met these."""

FAILED_ON_DEVICE = frozenset({"Failed", "Expired"})
"""`notifyStatus` of an SMDP_EVENT whose `smdpStatus` was not reached; the words are those of SGP.22, 5.3.5."""


class NotifyType(StrEnum):
    """The discriminator of a notification."""

    ORDER_STATUS = "ORDER_STATUS"
    ESIM_STATUS = "ESIM_STATUS"
    SMDP_EVENT = "SMDP_EVENT"
    DATA_USAGE = "DATA_USAGE"
    VALIDITY_USAGE = "VALIDITY_USAGE"
    CHECK_HEALTH = "CHECK_HEALTH"


NOTIFY_TYPES: dict[str, NotifyType] = {kind.value: kind for kind in NotifyType}


MAX_EID_DIGITS = 40
MAX_ERROR_TEXT = 2000
_DAY_UNITS = frozenset({"DAY", "DAYS"})


def parse(request: InboundRequest) -> Notification:
    """Turn a request into facts. Raises `Unparsable` where it says nothing that can be used."""
    members = Fields(_members(request))
    kind = members.word("notifyType", NOTIFY_TYPES)
    if kind is None:
        raise members.missing("notifyType")
    doubts: list[Doubt] = []
    envelope = members.lenient(doubts)
    own_id, as_of = envelope.text("notifyId"), time_of(envelope, "eventGenerateTime")
    updates: tuple[Update, ...] = ()
    order = None
    if kind is NotifyType.ORDER_STATUS:
        order = _order(members.section("content").lenient(doubts))
    elif kind is not NotifyType.CHECK_HEALTH:
        updates = _updates(kind, members.section("content"), as_of, doubts)
    return Notification(
        kind=kind.value, own_id=own_id, occurred_at=as_of, updates=updates, order=order, doubts=tuple(doubts)
    )


def identity_of(fields: Fields) -> Identity:
    """Return the keys that an object of eSIM Access carries."""
    return Identity(
        esim_tran_no=fields.text("esimTranNo"),
        order_no=fields.text("orderNo"),
        transaction_id=fields.text("transactionId"),
        iccid=iccid_of(fields, "iccid"),
    )


def days(fields: Fields, name: str) -> int | None:
    """Return a number of days, or None where `durationUnit` says another unit."""
    read, unit = fields.whole(name, maximum=MAX_DAYS), fields.text("durationUnit")
    if read is None or not fields.has("durationUnit") or (unit is not None and unit.upper() in _DAY_UNITS):
        return read
    if unit is not None:
        fields.doubt(fields.wrong("durationUnit", "DAY", unit), "durationUnit", word=unit)
    return None


def used(fields: Fields, *, remain: str) -> int | None:
    """Return the bytes used: `orderUsage`, else the total without what the field `remain` says is left."""
    reported, total, left = volume(fields, "orderUsage"), volume(fields, "totalVolume"), volume(fields, remain)
    if total is None or left is None:
        return reported
    if reported is None and left <= total:
        return total - left
    if reported is None:
        fields.doubt(fields.wrong(remain, f"at most totalVolume {total}", left), remain)
    elif is_contradiction(total, reported, left):
        fields.doubt(fields.wrong(remain, f"totalVolume {total} without orderUsage {reported}", left), remain)
    return reported


def _members(request: InboundRequest) -> Members:
    body = request.body.strip()
    if not body and not request.query:
        raise Unparsable("expected a JSON object or a form, got an empty body")
    if not body:
        return read_form(request.query.encode("utf-8", "surrogatepass"))
    # The body's own shape decides: which content type a form or JSON comes with is documented nowhere.
    return read_json(body) if body[:1] in b'{["' or b"=" not in body else read_form(body)


def _updates(kind: NotifyType, members: Fields, as_of: datetime | None, doubts: list[Doubt]) -> tuple[Update, ...]:
    """Return the update about an eSIM; none where a step failed on the device and nothing else is reported."""
    content = members.lenient(doubts)
    identity = identity_of(content)
    if identity == Identity():
        raise unusable(content.missing("one of esimTranNo, orderNo, transactionId, iccid"), doubts)
    update = _update(kind, identity, content, as_of)
    failed = kind is NotifyType.SMDP_EVENT and _failed_on_device(content)
    if update.says_nothing and not failed:
        raise unusable(content.missing("a fact about the eSIM"), doubts)
    doubts += check_digit_doubts(iccid=identity.iccid, eid=update.eid)
    return () if update.says_nothing else (update,)


def _update(kind: NotifyType, identity: Identity, content: Fields, as_of: datetime | None) -> Update:
    match kind:
        case NotifyType.ESIM_STATUS:
            return _esim_status(identity, content, as_of)
        case NotifyType.SMDP_EVENT:
            return _smdp_event(identity, content, as_of)
        case NotifyType.DATA_USAGE:
            return _data_usage(identity, content, as_of)
        case NotifyType.VALIDITY_USAGE:
            return _validity_usage(identity, content, as_of)
        case NotifyType.ORDER_STATUS | NotifyType.CHECK_HEALTH:
            raise Unparsable(f"expected a notification about an eSIM, got {kind}")
        case _:
            assert_never(kind)


def _order(content: Fields) -> OrderUpdate | None:
    """Return what is said of an order; None where it is on its way. Raises `Unparsable` for an unknown word."""
    ref = OrderRef(order_no=content.text("orderNo"), transaction_id=content.text("transactionId"))
    if ref == OrderRef():
        raise content.missing("orderNo")
    state = content.lenient(None).word("orderStatus", ORDER_STATES)
    match state:
        case OrderState.ON_ITS_WAY:
            return None
        case OrderState.READY:
            return OrderUpdate(ref=ref)
        case OrderState.FAILED:
            word = f"the provider says {content.text('orderStatus')} of the order"
            return OrderUpdate(ref=ref, failure=safe_message(content.text("errorMsg", limit=MAX_ERROR_TEXT) or word))
        case OrderState.REFUNDED:
            return OrderUpdate(ref=ref, refunded=True)
        case None:
            raise content.missing("orderStatus")
        case _:
            assert_never(state)


def _esim_status(identity: Identity, content: Fields, as_of: datetime | None) -> Update:
    content.lacks("esimStatus")
    used_bytes, total_bytes = used(content, remain="remainVolume"), volume(content, "totalVolume")
    reports_usage = used_bytes is not None or total_bytes is not None
    return Update(
        identity=identity,
        occurred_at=as_of,
        esim_status=content.word("esimStatus", ESIM_STATUS),
        smdp_status=content.word("smdpStatus", SMDP_STATUS),
        total_bytes=total_bytes,
        used_bytes=used_bytes,
        usage_at=_usage_at(content, as_of) if reports_usage else None,
    )


def _smdp_event(identity: Identity, content: Fields, as_of: datetime | None) -> Update:
    content.lacks("smdpStatus")
    profile = content.word("smdpStatus", SMDP_STATUS)
    sequence = content.whole("seqNumber", maximum=MAX_SEQUENCE)
    if _failed_on_device(content):
        problem = f"notifyStatus {content.text('notifyStatus')}: smdpStatus {profile or 'that'} was not reached"
        content.doubt(Unparsable(problem), "notifyStatus")
        profile = None
    return Update(
        identity=identity,
        occurred_at=time_of(content, "timestamp") or as_of,
        esim_status=content.word("esimStatus", ESIM_STATUS),
        smdp_status=profile,
        smdp_sequence=None if profile is None else sequence,
        eid=digits_of(content, "eid", limit=MAX_EID_DIGITS),
    )


def _data_usage(identity: Identity, content: Fields, as_of: datetime | None) -> Update:
    if not (content.has("orderUsage") or content.has("remain")):
        content.doubt(content.missing("orderUsage, or totalVolume with remain"), "orderUsage")
    total_bytes, used_bytes = volume(content, "totalVolume"), used(content, remain="remain")
    return Update(
        identity=identity,
        occurred_at=as_of,
        total_bytes=total_bytes,
        used_bytes=used_bytes,
        remaining_bytes=volume(content, "remain") if total_bytes is None and used_bytes is None else None,
        usage_at=_usage_at(content, as_of),
    )


def _validity_usage(identity: Identity, content: Fields, as_of: datetime | None) -> Update:
    content.lacks("remain")
    return Update(
        identity=identity,
        cause=Cause.VALIDITY,
        occurred_at=as_of,
        validity_days=days(content, "remain"),
        total_days=days(content, "totalDuration"),
        expire_at=time_of(content, "expiredTime"),
    )


def _usage_at(content: Fields, as_of: datetime | None) -> datetime | None:
    # Without a time of its own a figure is at least no newer than the notification that carries it.
    return time_of(content, "lastUpdateTime") or as_of


def _failed_on_device(content: Fields) -> bool:
    return content.text("notifyStatus") in FAILED_ON_DEVICE
