"""The numbers that identify profiles and devices: ICCID and EID.

Text comes in, the normalised text or what is doubtful about it goes out. A wrong check digit is a warning and never a
rejection: half of the ICCIDs that providers publish fail the check.
"""

import re

from esimhooks.server.domain.update import Doubt

_ICCID = re.compile(r"([0-9]{18,20})F*", re.ASCII)
_EID_DIGITS = 32
SHOWN = 4


def normal_iccid(text: str) -> str | None:
    """Return the ICCID without its padding `F`, or None where it is not 18-20 digits (SGP.22; ITU-T E.118)."""
    found = _ICCID.fullmatch(text)
    return found[1] if found else None


def masked(number: str) -> str:
    """Return what may be repeated of a personal number: its last four characters, none of a short one."""
    return f"...{number[-SHOWN:]}" if len(number) > 2 * SHOWN else "..."


def luhn_holds(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ITU-T E.118). `digits` holds only 0-9."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def eid_holds(digits: str) -> bool:
    """Whether the EID has 32 digits and is 1 modulo 97 (SGP.29, section 10). `digits` holds only 0-9."""
    return len(digits) == _EID_DIGITS and int(digits) % 97 == 1


def doubts(*, iccid: str | None, eid: str | None) -> tuple[Doubt, ...]:
    """Return what is doubtful about the numbers, one sentence each; both are applied all the same.

    The sentences stand in the journal and show the last four digits only.
    """
    found = []
    if iccid is not None and not luhn_holds(iccid):
        found.append(Doubt("iccid", f"iccid {masked(iccid)}: the Luhn check digit is wrong"))
    if eid is not None and not eid_holds(eid):
        found.append(Doubt("eid", f"eid {masked(eid)}: not 32 digits with the remainder 1 modulo 97"))
    return tuple(found)
