"""What eSIM Access pushes becomes a `Notification`.

A verified request comes in, in any of the shapes that the provider documents: JSON body, form body, query string, with
or without `notifyId` and `eventGenerateTime`. Nothing is asked or stored. A member that is not understood is a doubt, and
the rest is applied.
"""

from datetime import datetime
from typing import assert_never

from esimhooks.server.domain.notification import InboundRequest, Notification, OrderNews, OrderRef
from esimhooks.server.domain.update import Cause, Doubt, Identity, Update
from esimhooks.server.providers.bodies import Members, read_form, read_json
from esimhooks.server.providers.esimaccess_words import (
    ESIM_STATUS,
    FAILED_ON_DEVICE,
    NOTIFY_TYPES,
    ORDER_STATES,
    SMDP_STATUS,
    NotifyType,
    OrderState,
)
from esimhooks.server.providers.fields import (
    MAX_DAYS,
    MAX_SEQUENCE,
    Fields,
    digits_of,
    iccid_of,
    is_contradiction,
    moment_of,
    shown_words,
    unusable,
    volume,
)
from esimhooks.server.providers.fields import doubts as numbers_in_doubt
from esimhooks.server.providers.port import Unparsable

MAX_EID_DIGITS = 40
MAX_SAID = 2000
_DAY_UNITS = frozenset({"DAY", "DAYS"})


def parse(request: InboundRequest) -> Notification:
    """Turn a request into facts. Raises `Unparsable` where it says nothing that can be used."""
    members = Fields(_members(request))
    kind = members.word("notifyType", NOTIFY_TYPES)
    if kind is None:
        raise members.missing("notifyType")
    doubts: list[Doubt] = []
    envelope = members.lenient(doubts)
    own_id, told_at = envelope.text("notifyId"), moment_of(envelope, "eventGenerateTime")
    updates: tuple[Update, ...] = ()
    order = None
    if kind is NotifyType.ORDER_STATUS:
        order = _order(members.section("content").lenient(doubts))
    elif kind is not NotifyType.CHECK_HEALTH:
        updates = _updates(kind, members.section("content"), told_at, doubts)
    return Notification(
        kind=kind.value, own_id=own_id, occurred_at=told_at, updates=updates, order=order, doubts=tuple(doubts)
    )


def identity(fields: Fields) -> Identity:
    """Return the keys that an object of eSIM Access carries."""
    return Identity(
        esim_tran_no=fields.text("esimTranNo"),
        order_no=fields.text("orderNo"),
        transaction_id=fields.text("transactionId"),
        iccid=iccid_of(fields, "iccid"),
    )


def days(fields: Fields, name: str) -> int | None:
    """Return a number of days, or None where `durationUnit` says another unit."""
    read, unit = fields.whole(name, most=MAX_DAYS), fields.text("durationUnit")
    if read is None or not fields.has("durationUnit") or (unit is not None and unit.upper() in _DAY_UNITS):
        return read
    if unit is not None:
        fields.doubt(fields.wrong("durationUnit", "DAY", unit), "durationUnit", word=unit)
    return None


def used(fields: Fields, *, remain: str) -> int | None:
    """Return the bytes used: `orderUsage`, else the total without what the field `remain` says is left."""
    told, total, left = volume(fields, "orderUsage"), volume(fields, "totalVolume"), volume(fields, remain)
    if total is None or left is None:
        return told
    if told is None and left <= total:
        return total - left
    if told is None:
        fields.doubt(fields.wrong(remain, f"at most totalVolume {total}", left), remain)
    elif is_contradiction(total, told, left):
        fields.doubt(fields.wrong(remain, f"totalVolume {total} without orderUsage {told}", left), remain)
    return told


def _members(request: InboundRequest) -> Members:
    body = request.body.strip()
    if not body and not request.query:
        raise Unparsable("expected a JSON object or a form, got an empty body")
    if not body:
        return read_form(request.query.encode("utf-8", "surrogatepass"))
    # The body's own shape decides: which content type a form or JSON comes with is documented nowhere.
    return read_json(body) if body[:1] in b'{["' or b"=" not in body else read_form(body)


def _updates(kind: NotifyType, members: Fields, told_at: datetime | None, doubts: list[Doubt]) -> tuple[Update, ...]:
    """Return the update about an eSIM; none where a step failed on the device and nothing else is told."""
    content = members.lenient(doubts)
    whose = identity(content)
    if whose == Identity():
        raise unusable(content.missing("one of esimTranNo, orderNo, transactionId, iccid"), doubts)
    update = _update(kind, whose, content, told_at)
    failed = kind is NotifyType.SMDP_EVENT and _failed_on_device(content)
    if update.says_nothing and not failed:
        raise unusable(content.missing("a fact about the eSIM"), doubts)
    doubts += numbers_in_doubt(iccid=whose.iccid, eid=update.eid)
    return () if update.says_nothing else (update,)


def _update(kind: NotifyType, whose: Identity, content: Fields, told_at: datetime | None) -> Update:
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


def _order(content: Fields) -> OrderNews | None:
    """Return what is said of an order; None where it is on its way. Raises `Unparsable` for a word nobody knows."""
    ref = OrderRef(order_no=content.text("orderNo"), transaction_id=content.text("transactionId"))
    if ref == OrderRef():
        raise content.missing("orderNo")
    state = content.lenient(None).word("orderStatus", ORDER_STATES)
    match state:
        case OrderState.ON_ITS_WAY:
            return None
        case OrderState.READY:
            return OrderNews(ref=ref)
        case OrderState.FAILED:
            word = f"the provider says {content.text('orderStatus')} of the order"
            return OrderNews(ref=ref, failure=shown_words(content.text("errorMsg", limit=MAX_SAID) or word))
        case OrderState.REFUNDED:
            return OrderNews(ref=ref, refunded=True)
        case None:
            raise content.missing("orderStatus")
        case _:
            assert_never(state)


def _esim_status(whose: Identity, content: Fields, told_at: datetime | None) -> Update:
    content.lacks("esimStatus")
    used_bytes, total_bytes = used(content, remain="remainVolume"), volume(content, "totalVolume")
    figures_told = used_bytes is not None or total_bytes is not None
    return Update(
        identity=whose,
        occurred_at=told_at,
        esim_status=content.word("esimStatus", ESIM_STATUS),
        smdp_status=content.word("smdpStatus", SMDP_STATUS),
        total_bytes=total_bytes,
        used_bytes=used_bytes,
        usage_at=_usage_at(content, told_at) if figures_told else None,
    )


def _smdp_event(whose: Identity, content: Fields, told_at: datetime | None) -> Update:
    content.lacks("smdpStatus")
    profile = content.word("smdpStatus", SMDP_STATUS)
    sequence = content.whole("seqNumber", most=MAX_SEQUENCE)
    if _failed_on_device(content):
        said = f"notifyStatus {content.text('notifyStatus')}: smdpStatus {profile or 'that'} was not reached"
        content.doubt(Unparsable(said), "notifyStatus")
        profile = None
    return Update(
        identity=whose,
        occurred_at=moment_of(content, "timestamp") or told_at,
        esim_status=content.word("esimStatus", ESIM_STATUS),
        smdp_status=profile,
        smdp_sequence=None if profile is None else sequence,
        eid=digits_of(content, "eid", limit=MAX_EID_DIGITS),
    )


def _data_usage(whose: Identity, content: Fields, told_at: datetime | None) -> Update:
    if not (content.has("orderUsage") or content.has("remain")):
        content.doubt(content.missing("orderUsage, or totalVolume with remain"), "orderUsage")
    total_bytes, used_bytes = volume(content, "totalVolume"), used(content, remain="remain")
    return Update(
        identity=whose,
        occurred_at=told_at,
        total_bytes=total_bytes,
        used_bytes=used_bytes,
        remaining_bytes=volume(content, "remain") if total_bytes is None and used_bytes is None else None,
        usage_at=_usage_at(content, told_at),
    )


def _validity_usage(whose: Identity, content: Fields, told_at: datetime | None) -> Update:
    content.lacks("remain")
    return Update(
        identity=whose,
        cause=Cause.VALIDITY,
        occurred_at=told_at,
        validity_days=days(content, "remain"),
        total_days=days(content, "totalDuration"),
        expire_at=moment_of(content, "expiredTime"),
    )


def _usage_at(content: Fields, told_at: datetime | None) -> datetime | None:
    # Without a time of its own a figure is at least no newer than the notification that carries it.
    return moment_of(content, "lastUpdateTime") or told_at


def _failed_on_device(content: Fields) -> bool:
    return content.text("notifyStatus") in FAILED_ON_DEVICE
