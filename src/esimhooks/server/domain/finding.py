"""What a check of an installation found."""

from enum import StrEnum

from msgspec import Struct


class Health(StrEnum):
    """How bad it is: `warn` works now and may not later, `fail` does not work or loses what was promised."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Struct, frozen=True):
    """One line of `esimhooks doctor`. `mend` says what to do, and is empty where nothing is to be done."""

    check: str
    health: Health
    seen: str
    mend: str = ""


def fine(check: str, seen: str) -> Finding:
    """Return that a check found nothing wrong."""
    return Finding(check, Health.OK, seen)


def doubtful(check: str, seen: str, mend: str) -> Finding:
    """Return a warning."""
    return Finding(check, Health.WARN, seen, mend)


def wrong(check: str, seen: str, mend: str) -> Finding:
    """Return that a check failed."""
    return Finding(check, Health.FAIL, seen, mend)
