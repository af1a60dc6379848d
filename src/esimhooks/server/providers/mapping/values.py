"""How each member of `set` is read: text, words, numbers, volumes, percentages, times.

A raw value comes in, a typed one goes out; what is not as expected is a doubt about that member and nothing else.
Constants and the words of tables are read once, when the document is checked, by the same readers.
"""

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import partial
from zoneinfo import ZoneInfo

from esimhooks.server.domain.update import Doubt
from esimhooks.server.providers.fields import (
    EXACT_UP_TO,
    MAX_DAYS,
    MAX_SEQUENCE,
    MAX_VOLUME_BYTES,
    Fields,
    digits_of,
    iccid_of,
)
from esimhooks.server.providers.mapping.document import Value
from esimhooks.server.providers.mapping.sources import Source, View
from esimhooks.server.providers.moments import moment
from esimhooks.server.providers.port import Unparsable
from esimhooks.vocabulary.statuses import EsimStatus, PlanState, SmdpStatus

MAX_ADDRESS = 1000
MAX_EID_DIGITS = 40
MAX_COUNT = 1_000_000_000
UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_UNIT_WORDS = {**{name.casefold(): factor for name, factor in UNITS.items()}, "byte": 1, "bytes": 1}
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,12})?", re.ASCII)
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})", re.ASCII)
_MAX_DIGITS = 30
_SOME_DAY = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)

Read = Callable[[Fields, str], object]


class Reader:
    """One member of `set`, compiled. `name` is as the document has it, such as `plan.total`."""

    def __init__(self, name: str, value: Value) -> None:
        """Compile. Raises `ValueError` with what was expected."""
        self.name = name
        self.required = value.required
        self.source = None if value.path is None else Source(value.path)
        self.unit_source = None if value.unit_path is None else Source(value.unit_path)
        self._fold = value.fold
        self._read = _kind(name, value)
        self._table = _table(value)
        self._const = None if value.const is None else self._read_constant(value.const, "its constant")
        self._check_table(value)

    @property
    def sources(self) -> tuple[Source, ...]:
        """All that it reads."""
        return tuple(source for source in (self.source, self.unit_source) if source is not None)

    def may_give(self, words: AbstractSet[str]) -> bool:
        """Whether it can give one of these words: as its constant, by its table, or as it comes where there is none."""
        if self._const in words:
            return True
        return self.source is not None and (self._table is None or not words.isdisjoint(self._table.values()))

    def read(self, view: View, doubts: list[Doubt]) -> object:
        """Return the typed value, or None where it is not given or not understood."""
        if self.source is None:
            return self._const
        raw = self.source.read(view)
        if raw is None or raw == "":
            return self._const
        fields = Fields({self.name: raw}, doubts=doubts)
        if self.unit_source is not None:
            return self._in_unit(fields, self.unit_source.read(view))
        if self._table is None:
            return self._read(fields, self.name)
        word = self._word(fields, raw)
        if word == "":
            view.says_nothing_known = True
        return None if word is None or word == "" else self._read(Fields({self.name: word}, doubts=doubts), self.name)

    def _word(self, fields: Fields, raw: object) -> str | bool | None:
        assert self._table is not None  # noqa: S101 - only called with a table
        word = _plain(raw)
        folded = word.casefold() if self._fold and isinstance(word, str) else word
        return Fields({self.name: folded}, doubts=fields.doubts).word(self.name, self._table)

    def _in_unit(self, fields: Fields, raw: object) -> object:
        word = raw if isinstance(raw, str) else ""
        known = word if self._table is None else self._table.get(word.casefold() if self._fold else word, word)
        factor = _UNIT_WORDS.get(str(known).casefold())
        if factor is None:
            wrong = fields.wrong("unit", f"one of {', '.join(UNITS)}", raw)
            fields.doubt(wrong, self.name, word=word or None)
            return None
        return self._read(fields, self.name) if factor == 1 else _volume(fields, self.name, factor=factor)

    def _check_table(self, value: Value) -> None:
        if value.unit_path is not None:
            wrong = [one for one in (value.table or {}).values() if str(one).casefold() not in _UNIT_WORDS]
            if wrong:
                raise ValueError(f"expected units in its table: {', '.join(UNITS)}")
            return
        for word in (value.table or {}).values():
            if word != "":
                self._read_constant(word, "its table")

    def _read_constant(self, word: object, place: str) -> object:
        """Return what stands in the document itself, as it is read. Raises `ValueError` where it is not as expected."""
        try:
            return self._read(Fields({self.name: _plain(word)}), self.name)
        except Unparsable as error:
            raise ValueError(f"in {place}: {error}") from None


def _plain(raw: object) -> object:
    """Return how a number or a truth value is written in a table, and everything else as it came."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    exact = isinstance(raw, Decimal) or (isinstance(raw, int) and abs(raw) < EXACT_UP_TO)
    return str(raw) if exact else raw


def _table(value: Value) -> Mapping[str, str | bool] | None:
    if value.table is None:
        return None
    return {word.casefold() if value.fold else word: meaning for word, meaning in value.table.items()}


def _kind(name: str, value: Value) -> Read:
    """Return the reader of this member with what the value says of it. Raises `ValueError`."""
    own = name.rpartition(".")[2]
    if own in ("ac", "qrCodeUrl", "shortUrl"):
        return partial(_text, limit=MAX_ADDRESS, secret=True)
    if own in ("total", "used", "remaining") and not name.startswith(("voice.", "sms.")):
        return _volume_kind(value)
    if own == "time" or own.endswith("Time"):
        return partial(_time, zone=_zone(value.zone), pattern=_pattern(value.format))
    _refuse_foreign(value)
    return KINDS.get(name) or KINDS.get(own) or partial(_text, secret=value.secret)


def _volume_kind(value: Value) -> Read:
    if value.unit is not None and value.unit not in UNITS:
        raise ValueError(f"expected a unit: one of {', '.join(UNITS)}")
    if value.unit is None and value.unit_path is None:
        raise ValueError("expected a unit, or unitPath: a volume means nothing without")
    return partial(_volume, factor=UNITS.get(value.unit or "B", 1), decimals=value.decimals)


def _refuse_foreign(value: Value) -> None:
    if value.unit or value.unit_path or value.decimals:
        raise ValueError("expected no unit and no decimals: this is no volume")
    if value.format or value.zone:
        raise ValueError("expected no format and no zone: this is no time")


def _zone(name: str | None) -> tzinfo:
    if name is None or name == "UTC":
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        away = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        if away < timedelta(hours=24):
            return timezone(-away if offset[1] == "-" else away)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("expected a zone such as UTC, +08:00 or Asia/Shanghai") from None


def _pattern(text: str | None) -> str | None:
    if text is None or text == "auto":
        return None
    try:
        read = datetime.strptime(_SOME_DAY.strftime(text), text)  # noqa: DTZ007 - only the day is compared
    except (ValueError, re.error):
        read = None
    if read is None or read.date() != _SOME_DAY.date():
        raise ValueError("expected `auto`, or a pattern of a day or a time, such as %Y%m%d%H%M%S")
    return text


def _text(fields: Fields, name: str, *, limit: int = 200, secret: bool = False, personal: bool = False) -> str | None:
    value = fields.members.get(name)
    if isinstance(value, str):
        return fields.text(name, limit=limit, secret=secret, personal=personal)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < EXACT_UP_TO:
        return str(value)
    return Fields({name: _shown(value)}, doubts=fields.doubts).text(name, limit=limit, secret=secret, personal=personal)


def _shown(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _flag(fields: Fields, name: str) -> bool | None:
    value = fields.members.get(name)
    if isinstance(value, bool):
        return value
    return fields.word(name, {"true": True, "false": False})


def _decimal(fields: Fields, name: str, expected: str) -> Decimal | None:
    """Return a number from 0 on, written as one or as text. One that is too large to be meant is a doubt."""
    value = fields.members.get(name)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or value < 0 or abs(value.adjusted()) > _MAX_DIGITS:
        fields.doubt(fields.wrong(name, expected, _shown(value)), name)
        return None
    return value


def _volume(fields: Fields, name: str, *, factor: int, decimals: int = 0) -> int | None:
    read = _decimal(fields, name, "a volume from 0 on")
    if read is None:
        return None
    volume = int((read * factor).scaleb(-decimals).to_integral_value(ROUND_HALF_UP))
    if volume > MAX_VOLUME_BYTES:
        fields.doubt(fields.wrong(name, f"at most {MAX_VOLUME_BYTES} bytes", volume), name)
        return None
    return volume


def _percent(fields: Fields, name: str) -> Decimal | None:
    value = fields.members.get(name)
    bare = value.strip().removesuffix("%") if isinstance(value, str) else value
    read = _decimal(Fields({name: bare}, doubts=fields.doubts), name, "a percentage from 0 to 100")
    if read is not None and read > 100:
        fields.doubt(fields.wrong(name, "a percentage from 0 to 100", _shown(read)), name)
        return None
    return read


def _whole(fields: Fields, name: str, *, maximum: int) -> int | None:
    value = fields.members.get(name)
    if isinstance(value, Decimal):
        value = int(value) if abs(value) <= maximum and value == value.to_integral_value() else float(value)
    return Fields({name: value}, doubts=fields.doubts).whole(name, maximum=maximum)


def _time(fields: Fields, name: str, *, zone: tzinfo, pattern: str | None) -> object:
    value = fields.members.get(name)
    try:
        return moment(value, zone=zone, pattern=pattern)
    except ValueError:
        expected = "a time such as 2026-04-22T17:27:44Z" if pattern is None else f"a time such as {pattern}"
        fields.doubt(fields.wrong(name, expected, _shown(value)), name)
        return None


def _words(kind: type[StrEnum]) -> Read:
    table = {member.value: member for member in kind}
    return lambda fields, name: fields.word(name, table)


_COUNT = partial(_whole, maximum=MAX_COUNT)
KINDS: Mapping[str, Read] = {
    "key": partial(_text, personal=True),
    "iccid": iccid_of,
    "eid": partial(digits_of, limit=MAX_EID_DIGITS),
    "imsi": partial(_text, personal=True),
    "msisdn": partial(_text, personal=True),
    "status": _words(EsimStatus),
    "smdp": _words(SmdpStatus),
    "plan.state": _words(PlanState),
    "sequence": partial(_whole, maximum=MAX_SEQUENCE),
    "validityDays": partial(_whole, maximum=MAX_DAYS),
    "totalDays": partial(_whole, maximum=MAX_DAYS),
    "usedPercent": _percent,
    "remainingPercent": _percent,
    "unlimited": _flag,
    "throttled": _flag,
    "orderReady": _flag,
    "orderFailed": _flag,
    "orderRefunded": _flag,
    "voice.total": _COUNT,
    "voice.used": _COUNT,
    "sms.total": _COUNT,
    "sms.used": _COUNT,
}
"""By the name in `set`; everything else is text, a volume or a time by its name."""
