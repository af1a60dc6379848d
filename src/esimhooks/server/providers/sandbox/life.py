"""The life of a simulated eSIM as a list of steps; pure data.

An ending and a validity come in, the steps go out, each with its time since allocation in simulated seconds and what
eSIM Access would report of it. Nothing is sent or kept here.
"""

from enum import StrEnum
from random import Random

from msgspec import Struct

_HOUR_S = 3600.0
_DAY_S = 86_400.0
INSTALL_WITHIN_DAYS = 180
"""How long an eSIM may stay unused (eSIM Access: `expiredTime` before the activation)."""


class Ending(StrEnum):
    """How a life ends."""

    USED = "used"
    """Installed, used, suspended, resumed, topped up, used up, expired."""
    UNUSED = "unused"
    """Never installed."""
    CANCELLED = "cancelled"
    """Cancelled before it was installed."""
    REVOKED = "revoked"
    """Revoked while it was in use."""


class NotifyType(StrEnum):
    """The `notifyType` that reports a step."""

    ORDER_STATUS = "ORDER_STATUS"
    ESIM_STATUS = "ESIM_STATUS"
    SMDP_EVENT = "SMDP_EVENT"
    DATA_USAGE = "DATA_USAGE"
    VALIDITY_USAGE = "VALIDITY_USAGE"


class Step(Struct, frozen=True, kw_only=True):
    """One thing that happens to an eSIM; None means that it stays as it was. Words are those of eSIM Access."""

    name: str
    notify_type: NotifyType
    after_s: float
    """Simulated seconds since allocation."""
    esim_status: str | None = None
    smdp_status: str | None = None
    used_percent: int | None = None
    """Of the total volume of that time."""
    tops_up: bool = False
    """The volume that was bought comes in once more."""
    activates: bool = False
    days_left: int | None = None


ALLOCATED = Step(
    name="allocated", notify_type=NotifyType.ORDER_STATUS, after_s=0, esim_status="GOT_RESOURCE", smdp_status="RELEASED"
)
_INSTALLING = (
    Step(name="downloaded", notify_type=NotifyType.SMDP_EVENT, after_s=_HOUR_S, smdp_status="DOWNLOAD"),
    Step(name="installed", notify_type=NotifyType.SMDP_EVENT, after_s=_HOUR_S + 20, smdp_status="INSTALLATION"),
    Step(name="enabled", notify_type=NotifyType.SMDP_EVENT, after_s=_HOUR_S + 40, smdp_status="ENABLED"),
)
_ACTIVATED_S = _HOUR_S + 120


def life(ending: Ending, *, days: int, install_days: int = INSTALL_WITHIN_DAYS) -> tuple[Step, ...]:
    """Return the steps of a life with `days` of validity (at least 1), in the order of their times.

    An eSIM that is not installed within `install_days` expires unused.
    """
    if ending is Ending.UNUSED:
        return (ALLOCATED, _status("unused_expired", install_days * _DAY_S, "UNUSED_EXPIRED"))
    if ending is Ending.CANCELLED:
        return (ALLOCATED, _status("cancelled", _HOUR_S, "CANCEL"))
    activated = Step(
        name="activated", notify_type=NotifyType.ESIM_STATUS, after_s=_ACTIVATED_S, esim_status="IN_USE", activates=True
    )
    using = _revoked(days) if ending is Ending.REVOKED else _used(days)
    return (ALLOCATED, *_INSTALLING, activated, *sorted(using, key=lambda step: step.after_s))


def draw_ending(rng: Random) -> Ending:
    """Return how a life ends where none was chosen: most are used, one in ten never is."""
    return rng.choices(list(Ending), weights=[80, 10, 5, 5])[0]


def _used(days: int) -> list[Step]:
    steps = [
        _usage(10, _at(days, 0.05)),
        _usage(25, _at(days, 0.10)),
        _usage(30, _at(days, 0.15)),
        _usage(50, _at(days, 0.25)),
        _status("suspended", _at(days, 0.30), "SUSPENDED"),
        _status("resumed", _at(days, 0.32), "IN_USE"),
        _usage(75, _at(days, 0.40)),
        _usage(90, _at(days, 0.50)),
        Step(name="topped_up", notify_type=NotifyType.DATA_USAGE, after_s=_at(days, 0.55), tops_up=True),
        _usage(100, _at(days, 0.80)),
        _status("used_up", _at(days, 0.80) + 1, "USED_UP"),
        _status("used_expired", _at(days, 1.0), "USED_EXPIRED"),
    ]
    if days > 1:
        left = _at(days, 1.0) - _DAY_S
        steps.append(Step(name="validity_1", notify_type=NotifyType.VALIDITY_USAGE, after_s=left, days_left=1))
    return steps


def _revoked(days: int) -> list[Step]:
    return [_usage(10, _at(days, 0.05)), _status("revoked", _at(days, 0.20), "REVOKED")]


def _usage(percent: int, after_s: float) -> Step:
    return Step(name=f"usage_{percent}", notify_type=NotifyType.DATA_USAGE, after_s=after_s, used_percent=percent)


def _status(name: str, after_s: float, word: str) -> Step:
    return Step(name=name, notify_type=NotifyType.ESIM_STATUS, after_s=after_s, esim_status=word)


def _at(days: int, part: float) -> float:
    return _ACTIVATED_S + days * _DAY_S * part
