"""Reads the loosely typed members of one object that a provider sent, one by one, and the numbers of profiles and devices.

Members come in as JSON or form values, typed values go out; `""` and null mean "not reported". What is not as expected is
`Unparsable`, or a doubt, with a message that says what was expected and what came, unless the value is a secret. A wrong
check digit of an ICCID or EID is a doubt and never a rejection: half of the ICCIDs that providers publish fail the check.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from esimhooks.server.domain.update import Doubt
from esimhooks.server.providers.bodies import Members
from esimhooks.server.providers.moments import moment
from esimhooks.server.providers.port import Unparsable
from esimhooks.vocabulary.volumes import BYTES_PER_MB

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


def is_valid_luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ITU-T E.118). `digits` holds only 0-9."""
    total = 0
    for path, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if path % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_valid_eid(digits: str) -> bool:
    """Whether the EID has 32 digits and is 1 modulo 97 (SGP.29, section 10). `digits` holds only 0-9."""
    return len(digits) == _EID_DIGITS and int(digits) % 97 == 1


def check_digit_doubts(*, iccid: str | None, eid: str | None) -> tuple[Doubt, ...]:
    """Return what is doubtful about the numbers, one sentence each; both are applied all the same.

    The sentences stand in the journal and show the last four digits only.
    """
    found = []
    if iccid is not None and not is_valid_luhn(iccid):
        found.append(Doubt("iccid", f"iccid {masked(iccid)}: the Luhn check digit is wrong"))
    if eid is not None and not is_valid_eid(eid):
        found.append(Doubt("eid", f"eid {masked(eid)}: not 32 digits with the remainder 1 modulo 97"))
    return tuple(found)


MAX_TEXT = 200
MAX_DETAIL = 500
MAX_WORDS = 200
MAX_WORD = 60
MAX_VOLUME_BYTES = 2**62
MAX_DAYS = 36_500
MAX_SEQUENCE = 2**62
ROUNDED_BYTES = BYTES_PER_MB
"""How far apart two reports of the same volume may be."""
EXACT_UP_TO = 2**53
"""A double holds every integer up to here."""
_ACTIVATION_CODE = re.compile(r"LPA:\S+", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"[0-9]{14,}", re.ASCII)
"""IMSI, ICCID, EID: the numbers of persons and cards have as many digits."""
_WORDLIKE = re.compile(r"[A-Za-z][A-Za-z_ -]*", re.ASCII)
"""What may be repeated of an unknown word: a number, an address or an activation code that stands there is no word."""
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN = 60
_LONGEST_SHOWN = 10**40

Word = TypeVar("Word")


class Fields:
    """One object of a provider, read by name. `where` is its path for messages, such as `content`.

    With `doubts` a member that is not as expected counts as not reported, and why is noted there; without, it is
    `Unparsable`.
    """

    def __init__(self, members: Members, where: str = "", *, doubts: list[Doubt] | None = None) -> None:
        self.members = members
        self._where = where
        self.doubts = doubts
        """Where doubts are noted; None where nothing may be doubtful."""

    def lenient(self, doubts: list[Doubt] | None) -> "Fields":
        """Return the same object, read with doubts, or strictly where these cannot be noted."""
        return Fields(self.members, self._where, doubts=doubts)

    def doubt(self, error: Unparsable, name: str, *, word: str | None = None) -> None:
        """Record once that a member is not as expected; `word` is the unknown text.

        Raises the error where nothing may be doubtful.
        """
        doubt = Doubt(name, str(error), word[:MAX_WORD] if word and _WORDLIKE.fullmatch(word) else None)
        if self.doubts is None:
            raise Unparsable(str(error), doubts=[doubt] if doubt.word else ())
        if doubt not in self.doubts:
            self.doubts.append(doubt)

    def has(self, name: str) -> bool:
        """Whether the member was sent at all, understood or not."""
        return self.members.get(name) not in (None, "")

    def lacks(self, name: str, expected: str | None = None) -> None:
        """Record that a required member was not sent. Raises `Unparsable` where nothing may be doubtful."""
        if not self.has(name):
            self.doubt(self.missing(expected or name), name)

    def text(self, name: str, *, limit: int = MAX_TEXT, secret: bool = False, personal: bool = False) -> str | None:
        """Return text of at most `limit` characters without control characters. A number is not taken for text.

        A refused value that is `secret` is not shown, one that is `personal` only with its last four characters.
        """
        value = self.members.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            error = self.wrong(name, "text", _cut(value) if personal else value, secret=secret)
        elif len(value) > limit:
            error = self.wrong(name, f"at most {limit} characters", len(value), secret=secret)
        elif _UNFIT.search(value):
            shown = _cut(value) if personal else value
            error = self.wrong(name, "text without control characters", shown, secret=secret)
        else:
            return value
        self.doubt(error, name)
        return None

    def word(self, name: str, table: Mapping[str, Word]) -> Word | None:
        """Return what the table has for the word. A word that it does not have is never mapped to another."""
        text = self.text(name)
        if text is None:
            return None
        if text not in table:
            self.doubt(self.wrong(name, f"one of {', '.join(table)}", text), name, word=text)
            return None
        return table[text]

    def whole(self, name: str, *, maximum: int) -> int | None:
        """Return an integer from 0 to `maximum`, written as a number or as digits."""
        value = self.members.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(maximum)):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            self.doubt(self.wrong(name, f"an integer from 0 to {maximum}", value), name)
            return None
        return value

    def section(self, name: str) -> "Fields":
        """Return an object inside this one. Raises `Unparsable` where there is none, whatever may be doubtful."""
        value = self.members.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "an object", value)
        return Fields(value, self._path(name), doubts=self.doubts)

    def section_if_any(self, name: str) -> "Fields | None":
        """Return an object inside this one."""
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.doubt(self.wrong(name, "an object", value), name)
            return None
        return Fields(value, self._path(name), doubts=self.doubts)

    def sections(self, name: str) -> tuple["Fields", ...]:
        """Return a list of objects inside this one; a list that is not there is empty, what is no object left out."""
        value = self.members.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.doubt(self.wrong(name, "a list of objects", value), name)
            return ()
        found = []
        for index, item in enumerate(value):
            path = f"{name}[{index}]"
            if isinstance(item, dict):
                found.append(Fields(item, self._path(path), doubts=self.doubts))
            else:
                self.doubt(self.wrong(path, "an object", item), name)
        return tuple(found)

    def missing(self, expected: str) -> Unparsable:
        """Return the error for an object that lacks what it must have."""
        return Unparsable(f"{self._where or 'the body'}: expected {expected}, got none")

    def wrong(self, name: str, expected: str, came: object, *, secret: bool = False) -> Unparsable:
        """Return the error for a member that is not as expected. A secret is not shown."""
        shown = "something else" if secret else _shown(came)
        return Unparsable(f"{self._path(name)}: expected {expected}, got {shown}")

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name


def _cut(value: object) -> object:
    """Return what may be shown of a personal number: of a number too, as that is an identifier that lost its quotes."""
    if isinstance(value, (int, float)):
        return f"the number {masked(_shown(value))}"
    return masked(value) if isinstance(value, str) else value


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, (dict, list)):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, int) and abs(value) > _LONGEST_SHOWN:
        return "a number beyond reason"
    shown = ascii(_without_secrets(value) if isinstance(value, str) else value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _without_secrets(text: str) -> str:
    """Return text that stands where it does not belong, without activation codes and with only the end of numbers."""
    return _LONG_NUMBER.sub(lambda found: masked(found[0]), _ACTIVATION_CODE.sub("LPA:***", text))


def word_or_number(fields: Fields, name: str, table: Mapping[str, Word]) -> Word | None:
    """Return what the table has for a word, which may have come as a number."""
    value = fields.members.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and str(value) in table:
        return table[str(value)]
    return fields.word(name, table)


def time_of(fields: Fields, name: str) -> datetime | None:
    """Return an aware UTC datetime; `moments` has the formats."""
    value = fields.members.get(name)
    if value is None or value == "":
        return None
    try:
        return moment(value)
    except ValueError:
        fields.doubt(fields.wrong(name, "a time such as 2026-04-22T17:27:44Z", value), name)
        return None


def iccid_of(fields: Fields, name: str) -> str | None:
    """Return the 18-20 digits of an ICCID. A JSON number may have been rounded on its way and is refused."""
    text = fields.text(name, personal=True)
    if text is None:
        return None
    found = normal_iccid(text)
    if found is None:
        fields.doubt(fields.wrong(name, "text of 18-20 digits", f"{masked(text)} of {len(text)} characters"), name)
    return found


def digits_of(fields: Fields, name: str, *, limit: int) -> str | None:
    """Return text of at most `limit` digits: a number of a person or a card."""
    text = fields.text(name, limit=limit, personal=True)
    if text is not None and not (text.isascii() and text.isdigit()):
        fields.doubt(fields.wrong(name, "text of digits", masked(text)), name)
        return None
    return text


def scalar_of(fields: Fields, name: str) -> str | int | float | None:
    """Return a member that is no object and no list, as it was sent."""
    value = fields.members.get(name)
    if value is not None and not isinstance(value, (str, int, float)):
        fields.doubt(fields.wrong(name, "a text or a number", value), name)
        return None
    return value


def flag_of(fields: Fields, name: str) -> bool | None:
    """Return true or false."""
    value = fields.members.get(name)
    if value is not None and not isinstance(value, bool):
        fields.doubt(fields.wrong(name, "true or false", value), name)
        return None
    return value


def length_of(fields: Fields, name: str) -> int:
    """Return how many items a list has, whatever they are."""
    value = fields.members.get(name)
    return len(value) if isinstance(value, list) else 0


def volume(fields: Fields, name: str) -> int | None:
    """Return a volume in bytes."""
    return fields.whole(name, maximum=MAX_VOLUME_BYTES)


def is_contradiction(total: int, used: int, left: int) -> bool:
    """Whether three volumes in bytes do not fit together; figures are rounded, and more than all may be used."""
    return abs(max(0, total - used) - left) > ROUNDED_BYTES


def unusable(error: Unparsable, doubts: Sequence[Doubt]) -> Unparsable:
    """Return the error for what says nothing that can be used: the doubts that led to it, or `error` without any."""
    problems = "; ".join(doubt.detail for doubt in doubts) or str(error)
    return Unparsable(problems[:MAX_DETAIL], doubts=doubts)


def safe_message(words: str, *, secrets: Collection[str] = ()) -> str:
    """Return what a provider says in one short line, without activation codes and credentials."""
    text = _ACTIVATION_CODE.sub("LPA:***", words)
    for secret in secrets:
        text = text.replace(secret, "***")
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_WORDS])
