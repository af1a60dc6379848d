"""Canaries: values of every kind that must not be written down, each of them only once, and the search for them.

Words hold `CNRY` and twelve characters, numbers are too long to be anything else; so a file is searched in one pass.
"""

import random
import re
from collections.abc import Iterable

from api import Json

LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ0123456789"
WORD = re.compile(r"CNRY[A-Z0-9]{12}", re.IGNORECASE)
NUMBER = re.compile(r"\d{15,}")
LENGTHS = (15, 19, 32)


class Canaries:
    """Makes canaries and finds them again."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.made: set[str] = set()

    def word(self) -> str:
        """Return a new word."""
        return self._new("CNRY" + "".join(self._chance.choices(LETTERS, k=12)))

    def number(self, digits: int) -> str:
        """Return a new number of 15, 19 or 32 digits."""
        return self._new("8" + "".join(self._chance.choices("0123456789", k=digits - 1)))

    def esim(self) -> dict[str, Json]:
        """Return the secret and personal fields of an eSIM."""
        return {
            "iccid": self.number(19),
            "eid": self.number(32),
            "imsi": self.number(15),
            "msisdn": self.number(15),
            "ac": f"LPA:1$smdp.example.com${self.word()}",
            "qrCodeUrl": f"https://pictures.example.com/{self.word()}.png",
            "shortUrl": f"https://short.example.com/{self.word()}",
        }

    def in_it(self, text: str) -> set[str]:
        """Return the canaries that a text holds."""
        words = {found[0].upper() for found in WORD.finditer(text)}
        return (words | set(_windows(found[0] for found in NUMBER.finditer(text)))) & self.made

    def _new(self, value: str) -> str:
        self.made.add(value)
        return value


def _windows(runs: Iterable[str]) -> Iterable[str]:
    for run in runs:
        for length in LENGTHS:
            for start in range(len(run) - length + 1):
                yield run[start : start + length]
