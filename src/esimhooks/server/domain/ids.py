"""Identifiers: UUIDv7 inside, TypeIDs (`evt_01jd...`) outside.

The time inside a UUIDv7 chooses the daily partition, so a row is found by its id alone. The text of an id is its prefix
and its 128 bits in Crockford's base32, lowercase, as the TypeID specification 0.3 has it.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from uuid_utils.compat import uuid7

from esimhooks.server.domain.errors import Refused

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_PYTHON_DIGITS = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_ALPHABET.index(c)] if c in _ALPHABET else ord("!")
    for c in map(chr, range(256))
)
"""From TypeID's digits to those of `int(..., 32)`; every other byte becomes one that is no digit at all."""


class Prefix(StrEnum):
    """What kind of row an id names."""

    ACCOUNT = "acc"
    KEY = "key"
    ORDER = "ord"
    ESIM = "esim"
    EVENT = "evt"
    ENDPOINT = "ep"
    DELIVERY = "dlv"
    ATTEMPT = "att"
    NOTIFICATION = "ntf"
    AUDIT = "aud"
    REQUERY = "rqy"
    RECOVERY = "rec"


def new_id() -> UUID:
    """Return a new UUIDv7; ids made one after the other in one process are in ascending order."""
    return uuid7()


def text_of(prefix: Prefix, value: UUID) -> str:
    """Return the TypeID, e.g. `evt_01jd3v8k5fe8ya3q8r0m2n6x7c`."""
    return f"{prefix.value}_{_encode(value.int)}"


def text_or_none(prefix: Prefix, value: UUID | None) -> str | None:
    """Return the TypeID, or None for None."""
    return None if value is None else text_of(prefix, value)


def parse_id(prefix: Prefix, text: str) -> UUID:
    """Return the UUID of a TypeID. Raises `Refused` (404) where the text is no id of that kind."""
    head, _, suffix = text.rpartition("_")
    if head == prefix.value and len(suffix) == 26 and suffix[0] <= "7":
        try:
            return UUID(int=int(suffix.encode("ascii").translate(_PYTHON_DIGITS), 32))
        except ValueError:  # a character that is no digit, or not ASCII
            pass
    raise Refused.not_found(f"no {prefix.value}_... id: expected {prefix.value}_ and 26 characters")


def id_or_none(prefix: Prefix, text: str | None) -> UUID | None:
    """Return the UUID of a TypeID, or None where the text is no id of that kind."""
    try:
        return None if text is None else parse_id(prefix, text)
    except Refused:
        return None


def made_at(value: UUID) -> datetime:
    """Return the time inside a UUIDv7, UTC, to the millisecond."""
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def first_id_of(at: datetime) -> UUID:
    """Return the smallest UUIDv7 of that millisecond: the lower bound of a partition or a time filter."""
    return UUID(int=(at - EPOCH) // timedelta(milliseconds=1) << 80)


CLOCKS_MS = 60_000
"""How far the clocks of nodes may be apart: what follows from a row may bear an older time than that."""


def first_id_beside(value: UUID) -> UUID:
    """Return the smallest id that what followed from a row may have, whichever node made it, so that days before are not read."""
    return UUID(int=max(0, (value.int >> 80) - CLOCKS_MS) << 80)


def _encode(n: int) -> str:
    """Return the 26 digits of a number of 128 bits, ten bits at a time, unrolled: every event has several ids."""
    return (
        f"{_PAIRS[n >> 120]}{_PAIRS[n >> 110 & 1023]}{_PAIRS[n >> 100 & 1023]}{_PAIRS[n >> 90 & 1023]}"
        f"{_PAIRS[n >> 80 & 1023]}{_PAIRS[n >> 70 & 1023]}{_PAIRS[n >> 60 & 1023]}{_PAIRS[n >> 50 & 1023]}"
        f"{_PAIRS[n >> 40 & 1023]}{_PAIRS[n >> 30 & 1023]}{_PAIRS[n >> 20 & 1023]}{_PAIRS[n >> 10 & 1023]}"
        f"{_PAIRS[n & 1023]}"
    )
