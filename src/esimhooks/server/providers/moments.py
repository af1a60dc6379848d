"""Times as providers write them: one value of a JSON object or form comes in, an aware UTC datetime goes out.

A time without a zone is UTC, as the providers document. Nonsense is refused, never guessed.
"""

import re
from datetime import UTC, datetime, timedelta

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?: ?(?:Z|UTC|GMT|([+-]\d\d):?(\d\d)))?", re.ASCII
)
_COMPACT_DIGITS = 14
_MILLISECONDS_FROM = 100_000_000_000
"""Epoch values from here on are milliseconds: as seconds they would be the year 5138."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def moment(value: object) -> datetime:
    """Read ISO 8601 (`Z`, `+0000`, `+00:00`, ` UTC`, with or without a fraction), `YYYYMMDDHHMMSS` or an epoch.

    Epochs are seconds or milliseconds, as numbers or numeric text. Raises ValueError for anything else, and for times
    before 2000 or after 2099, which no eSIM can have.
    """
    try:
        read = _read(value)
    except (ValueError, OverflowError):
        raise ValueError("not a time") from None
    if not _EARLIEST <= read < _LATEST:
        raise ValueError("not a time of an eSIM")
    return read


def _read(value: object) -> datetime:
    if isinstance(value, str):
        if value.isascii() and value.isdigit():
            return _from_digits(value)
        return _from_iso(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _from_digits(str(value)) if abs(value) < 10**_COMPACT_DIGITS else _unknown()
    if isinstance(value, float):
        return _from_epoch(value)
    return _unknown()


def _from_digits(digits: str) -> datetime:
    if len(digits) == _COMPACT_DIGITS:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return _from_epoch(int(digits)) if len(digits) < _COMPACT_DIGITS else _unknown()


def _from_epoch(value: float) -> datetime:
    if value != value or abs(value) == float("inf"):  # noqa: PLR0124  # NaN is the only number unlike itself
        return _unknown()
    unit = timedelta(milliseconds=1) if value >= _MILLISECONDS_FROM else timedelta(seconds=1)
    return _EPOCH + value * unit


def _from_iso(text: str) -> datetime:
    found = _ISO.fullmatch(text)
    if found is None:
        return _unknown()
    date, clock, fraction, hours, minutes = found.groups()
    offset = f"{hours}:{minutes}" if hours else "+00:00"
    micros = (fraction or "0")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{date}T{clock}.{micros}{offset}").astimezone(UTC)


def _unknown() -> datetime:
    raise ValueError("not a time")
