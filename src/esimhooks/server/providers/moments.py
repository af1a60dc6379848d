"""Times as providers write them: one value of a JSON object or form comes in, an aware UTC datetime goes out.

A time without a zone is UTC, as most providers document, or of the zone that is given. Nonsense is refused, never
guessed.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?: ?(Z|UTC|GMT|([+-]\d\d):?(\d\d)))?", re.ASCII
)
_COMPACT_DIGITS = 14
_MILLISECONDS_FROM = 100_000_000_000
"""Epoch values from here on are milliseconds: as seconds they would be the year 5138."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def moment(value: object, *, zone: tzinfo = UTC, pattern: str | None = None) -> datetime:
    """Read ISO 8601 (`Z`, `+0000`, `+00:00`, ` UTC`, with or without a fraction), `YYYYMMDDHHMMSS` or an epoch.

    Epochs are seconds or milliseconds, as numbers or numeric text. With a `pattern` (as `strptime` has it) only text
    that fits it. What names no zone is of `zone`. Raises ValueError for anything else, and for times before 2000 or
    after 2099, which no eSIM can have.
    """
    try:
        read = _read(value, zone) if pattern is None else _parse_pattern(value, pattern, zone)
    except (ValueError, OverflowError):
        raise ValueError("not a time") from None
    if not _EARLIEST <= read < _LATEST:
        raise ValueError("not a time of an eSIM")
    return read


def _read(value: object, zone: tzinfo) -> datetime:
    if isinstance(value, str):
        if value.isascii() and value.isdigit():
            return _from_digits(value, zone)
        return _from_iso(value, zone)
    if isinstance(value, int) and not isinstance(value, bool):
        return _from_digits(str(value), zone) if abs(value) < 10**_COMPACT_DIGITS else _unknown()
    if isinstance(value, (float, Decimal)):
        return _from_epoch(float(value))
    return _unknown()


def _parse_pattern(value: object, pattern: str, zone: tzinfo) -> datetime:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return _unknown()
    return _in_utc(datetime.strptime(str(value), pattern), zone)  # noqa: DTZ007 - the zone is added there


def _in_utc(read: datetime, zone: tzinfo) -> datetime:
    """Return the time in UTC. Of the hour that summer time repeats at its end the second is meant.

    What happened in the first one then lies in the future, and counts as now; taken for the first, what happens in the
    second would be older than all that was reported just before, and lost.
    """
    if read.tzinfo:
        return read.astimezone(UTC)
    return max(read.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def _from_digits(digits: str, zone: tzinfo) -> datetime:
    if len(digits) == _COMPACT_DIGITS:
        return _in_utc(datetime.strptime(digits, "%Y%m%d%H%M%S"), zone)  # noqa: DTZ007 - the zone is added there
    return _from_epoch(int(digits)) if len(digits) < _COMPACT_DIGITS else _unknown()


def _from_epoch(value: float) -> datetime:
    if value != value or abs(value) == float("inf"):  # noqa: PLR0124  # NaN is the only number unlike itself
        return _unknown()
    unit = timedelta(milliseconds=1) if value >= _MILLISECONDS_FROM else timedelta(seconds=1)
    return _EPOCH + value * unit


def _from_iso(text: str, zone: tzinfo) -> datetime:
    found = _ISO.fullmatch(text)
    if found is None:
        return _unknown()
    date, clock, fraction, named, hours, minutes = found.groups()
    offset = f"{hours}:{minutes}" if hours else "+00:00" if named else ""
    micros = (fraction or "0")[:6].ljust(6, "0")
    return _in_utc(datetime.fromisoformat(f"{date}T{clock}.{micros}{offset}"), zone)


def _unknown() -> datetime:
    raise ValueError("not a time")
