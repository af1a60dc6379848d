"""Identifiers of simulated orders and eSIMs: synthetic, well formed and with correct check digits.

A random generator comes in, so that a seed brings the same numbers again.
"""

from random import Random

_DIGITS = "0123456789"
_HEX = "0123456789abcdef"
SMDP_HOST = "smdp.sandbox.invalid"


def iccid(rng: Random) -> str:
    """Return 19 digits that begin with 89 and end with their Luhn digit (ITU-T E.118)."""
    body = "8999" + _digits(rng, 14)
    total = 0
    for index, digit in enumerate(reversed(body)):
        doubled = int(digit) * (1 if index % 2 else 2)
        total += doubled - 9 if doubled > 9 else doubled
    return body + str(-total % 10)


def eid(rng: Random) -> str:
    """Return 32 digits that are 1 modulo 97 (SGP.29, section 10)."""
    body = "8999" + _digits(rng, 26)
    return f"{body}{98 - int(body) * 100 % 97:02d}"


def esim_tran_no(rng: Random) -> str:
    """Return the 14 digits by which eSIM Access names an eSIM."""
    return _digits(rng, 14)


def imsi(rng: Random) -> str:
    """Return 15 digits in the range for test networks (E.212, MCC 001)."""
    return "00101" + _digits(rng, 10)


def matching_id(rng: Random) -> str:
    """Return the 32 hexadecimal digits of a matching id (SGP.22, section 4.1)."""
    return _hex(rng).upper()


def notify_id(rng: Random) -> str:
    """Return the 32 hexadecimal digits of a notification's id."""
    return _hex(rng)


def _digits(rng: Random, count: int) -> str:
    return "".join(rng.choice(_DIGITS) for _ in range(count))


def _hex(rng: Random) -> str:
    return "".join(rng.choice(_HEX) for _ in range(32))
