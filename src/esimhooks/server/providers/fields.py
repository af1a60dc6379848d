"""Reads the loosely typed members of one object that a provider sent, one by one.

Members come in as JSON or form values, typed values go out; `""` and null mean "not told". What is not as expected is
`Unparsable` with a message that says what was expected and what came, unless the value is a secret.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from esimhooks.server.providers.bodies import Members
from esimhooks.server.providers.identifiers import masked, normal_iccid
from esimhooks.server.providers.moments import moment
from esimhooks.server.providers.port import Unparsable

MAX_TEXT = 200
MAX_VOLUME_BYTES = 2**62
MAX_DAYS = 36_500
MAX_SEQUENCE = 2**62
EXACT_UP_TO = 2**53
"""A double holds every integer up to here."""
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN = 60
_LONGEST_SHOWN = 10**40

Word = TypeVar("Word")


class Fields:
    """One object of a provider, read by name. `where` is its place for messages, such as `content`."""

    def __init__(self, members: Members, where: str = "") -> None:
        self._members = members
        self._where = where

    def text(self, name: str, *, limit: int = MAX_TEXT, secret: bool = False, personal: bool = False) -> str | None:
        """Return text of at most `limit` characters without control characters. A number is not taken for text.

        A refused value that is `secret` is not shown, one that is `personal` only with its last four characters.
        """
        value = self._members.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self.wrong(name, "text", _cut(value) if personal else value, secret=secret)
        if len(value) > limit:
            raise self.wrong(name, f"at most {limit} characters", len(value), secret=secret)
        if _UNFIT.search(value):
            shown = _cut(value) if personal else value
            raise self.wrong(name, "text without control characters", shown, secret=secret)
        return value

    def word(self, name: str, table: Mapping[str, Word]) -> Word | None:
        """Return what the table has for the word. A word that it does not have is refused, never mapped."""
        text = self.text(name)
        if text is None:
            return None
        if text not in table:
            raise self.wrong(name, f"one of {', '.join(table)}", text)
        return table[text]

    def whole(self, name: str, *, most: int) -> int | None:
        """Return an integer from 0 to `most`, written as a number or as digits."""
        value = self._members.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(most)):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise self.wrong(name, f"an integer from 0 to {most}", value)
        return value

    def moment(self, name: str) -> datetime | None:
        """Return an aware UTC datetime; `moments` has the formats."""
        value = self._members.get(name)
        if value is None or value == "":
            return None
        try:
            return moment(value)
        except ValueError:
            raise self.wrong(name, "a time such as 2026-04-22T17:27:44Z", value) from None

    def iccid(self, name: str) -> str | None:
        """Return the 18-20 digits of an ICCID. A JSON number may have been rounded on its way and is refused."""
        text = self.text(name, personal=True)
        if text is None:
            return None
        found = normal_iccid(text)
        if found is None:
            raise self.wrong(name, "text of 18-20 digits", f"{masked(text)} of {len(text)} characters")
        return found

    def digits(self, name: str, *, limit: int) -> str | None:
        """Return text of at most `limit` digits: a number of a person or a card."""
        text = self.text(name, limit=limit, personal=True)
        if text is not None and not (text.isascii() and text.isdigit()):
            raise self.wrong(name, "text of digits", masked(text))
        return text

    def scalar(self, name: str) -> str | int | float | None:
        """Return a member that is no object and no list, as it was sent."""
        value = self._members.get(name)
        if value is not None and not isinstance(value, (str, int, float)):
            raise self.wrong(name, "a text or a number", value)
        return value

    def section(self, name: str) -> "Fields":
        """Return an object inside this one, which must be there."""
        found = self.section_if_told(name)
        if found is None:
            raise self.wrong(name, "an object", None)
        return found

    def section_if_told(self, name: str) -> "Fields | None":
        """Return an object inside this one."""
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, "an object", value)
        return Fields(value, self._place(name))

    def sections(self, name: str) -> tuple["Fields", ...]:
        """Return a list of objects inside this one; a list that is not there is empty."""
        value = self._members.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(name, "a list of objects", value)
        return tuple(Fields(item, self._place(f"{name}[{place}]")) for place, item in enumerate(value))

    def missing(self, expected: str) -> Unparsable:
        """Return the error for an object that lacks what it must have."""
        return Unparsable(f"{self._where or 'the body'}: expected {expected}, got none")

    def wrong(self, name: str, expected: str, came: object, *, secret: bool = False) -> Unparsable:
        """Return the error for a member that is not as expected. A secret is not shown."""
        shown = "something else" if secret else _shown(came)
        return Unparsable(f"{self._place(name)}: expected {expected}, got {shown}")

    def _place(self, name: str) -> str:
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
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def volume(fields: Fields, name: str) -> int | None:
    """Return a volume in bytes."""
    return fields.whole(name, most=MAX_VOLUME_BYTES)


def quantity(fields: Fields, name: str) -> int | None:
    """Return a volume in bytes, which may also be written as a decimal such as 1000.0."""
    value = fields.scalar(name)
    if isinstance(value, float) and value.is_integer() and 0 <= value <= EXACT_UP_TO:
        return int(value)
    return volume(fields, name)
