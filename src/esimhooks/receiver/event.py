"""The event as a receiver sees it: a verified body comes in, a typed `Event` goes out.

Reading is lenient, because a sender may be newer than this package or not be esimhooks at all: unknown fields, statuses
and event types are kept. What does not fit its type is None there and stands as it came in `extra` or `payload`.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from esimhooks.receiver.errors import VerificationFailure, WebhookVerificationError
from esimhooks.vocabulary.envelope import FieldChange, TopUp
from esimhooks.vocabulary.esim import Allowance, Device, Location, PlanData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import EsimStatus, Mode, SmdpStatus

MAX_ID_CHARACTERS = 255

T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)


class Esim(Struct, frozen=True, kw_only=True, rename="camel"):
    """The eSIM after the change. Volumes are MB (1 048 576 bytes), times aware UTC; None is what no provider has reported.

    `id` and `transaction_id` are empty only where the sender is not esimhooks. `extra` holds, by wire name, fields that
    this release does not know and values that do not fit. The representation shows no personal data and no secrets.
    """

    id: str = ""
    transaction_id: str = ""
    order_no: str | None = None
    esim_tran_no: str | None = None
    package_code: str | None = None
    package_name: str | None = None
    iccid: str | None = None
    imsi: str | None = None
    msisdn: str | None = None
    eid: str | None = None
    ac: str | None = None
    qr_code_url: str | None = None
    short_url: str | None = None
    apn: str | None = None
    esim_status: EsimStatus | str | None = None
    smdp_status: SmdpStatus | str | None = None
    total_volume: float | None = None
    data_usage: float | None = None
    data_usage_remain: float | None = field(default=None, name="data_usage_remain")
    total_duration: int | None = None
    duration_unit: str = "DAY"
    validity_usage_remain: int | None = field(default=None, name="validity_usage_remain")
    activate_time: datetime | None = None
    expired_time: datetime | None = None
    last_usage_update: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    plans: list[PlanData] | None = None
    unlimited: bool | None = None
    throttled: bool | None = None
    voice: Allowance | None = None
    sms: Allowance | None = None
    location: Location | None = None
    device: Device | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    metadata: dict[str, str] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the little that may stand in a log."""
        return f"Esim(id={self.id!r}, esim_status={self.esim_status!s})"


class Event(Struct, frozen=True, kw_only=True):
    """One verified webhook. The same `id` means the same event, however often it comes.

    `event` compares equal to its text: `event.event == "esim.activated"`. `timestamp` is when the change happened (aware
    UTC). `payload` is the whole body, decoded; `body` are its bytes.
    """

    id: str
    event: EventType | str
    timestamp: datetime
    data: Esim
    previous_status: EsimStatus | str | None = None
    new_status: EsimStatus | str | None = None
    changes: dict[str, FieldChange] = field(default_factory=dict)
    sequence: int | None = None
    mode: Mode | str | None = None
    reason: str | None = None
    thresholds: tuple[int, ...] = ()
    plan_id: str | None = None
    top_up: TopUp | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    payload: dict[str, Any]
    body: bytes

    def __repr__(self) -> str:
        """Return the little that may stand in a log."""
        return f"Event(id={self.id!r}, event={self.event!s}, data={self.data!r})"


_WORDS: dict[str, type[StrEnum]] = {"esim_status": EsimStatus, "smdp_status": SmdpStatus}
_FIELDS = tuple(one for one in msgspec.structs.fields(Esim) if one.name != "extra")
_decoder = msgspec.json.Decoder(Any)


def event_of(body: bytes, *, message_id: str | None, sent_at: datetime) -> Event:
    """Return the event in a verified body. Raises `WebhookVerificationError`.

    `message_id` is the signed id of the request, None where the request has none: then the body must be an envelope of
    ours. Bodies of other Standard Webhooks senders may call the event's type `type`; their timestamp may be missing,
    then `sent_at` stands in.
    """
    payload = json_of(body)
    if not isinstance(payload, dict):
        raise WebhookVerificationError(VerificationFailure.NOT_AN_EVENT, "the body is JSON, but no object")
    ours = _as(str, payload.get("event"))
    event_type, identifier = ours or _as(str, payload.get("type")), message_id
    if ours and _as(str, payload.get("id")):
        identifier = str(payload["id"])
    if not event_type or not identifier or len(identifier) > MAX_ID_CHARACTERS or "\0" in event_type + identifier:
        raise WebhookVerificationError(VerificationFailure.NOT_AN_EVENT, "the body does not say which event it is")
    return Event(
        id=identifier,
        event=_word(EventType, event_type) or event_type,
        timestamp=_time(payload.get("timestamp")) or sent_at,
        data=_esim(payload.get("data")),
        previous_status=_word(EsimStatus, payload.get("previousStatus")),
        new_status=_word(EsimStatus, payload.get("newStatus")),
        changes=_changes(payload.get("changes")),
        sequence=_sequence(payload.get("sequence")),
        mode=_word(Mode, payload.get("mode")),
        reason=_as(str, payload.get("reason")),
        thresholds=tuple(_as(list[int], payload.get("thresholds")) or ()),
        plan_id=_as(str, payload.get("planId")),
        top_up=_as(TopUp, payload.get("topUp")),
        replaces=_as(str, payload.get("replaces")),
        replaced_by=_as(str, payload.get("replacedBy")),
        payload=payload,
        body=body,
    )


def json_of(body: bytes) -> Any:
    """Return the decoded body. Raises `WebhookVerificationError` where it is not JSON."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WebhookVerificationError(VerificationFailure.BODY_NOT_JSON, "the body is not JSON") from error


def _esim(data: object) -> Esim:
    if not isinstance(data, dict):
        return Esim()
    extra: dict[str, Any] = dict(data)
    values: dict[str, Any] = {}
    for one in _FIELDS:
        value = data.get(one.encode_name)
        fitting: object
        if value is None:
            fitting = None
        elif one.name in _WORDS:
            fitting = _word(_WORDS[one.name], value)
        elif one.type == datetime | None:
            fitting = _time(value)
        else:
            fitting = _as(one.type, value)
        if fitting is not None or value is None:
            extra.pop(one.encode_name, None)
        if fitting is not None:
            values[one.name] = fitting
    return Esim(**values, extra=extra)


def _changes(value: object) -> dict[str, FieldChange]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {name: change for name, one in pairs if (change := _as(FieldChange, one)) is not None}


def _sequence(value: object) -> int | None:
    number = _as(int, value)
    return number if number is not None and 0 <= number < 1 << 63 else None


def _as(kind: type[T], value: object) -> T | None:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None


def _word(words: type[Word], value: object) -> Word | str | None:
    text = _as(str, value)
    return words(text) if text is not None and text in words._value2member_map_ else text


def _time(value: object) -> datetime | None:
    time = _as(datetime, value) if isinstance(value, str) else None
    if time is None:
        return None
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        return None
