"""Repeats: which requests were made again, which of them nothing explains, and which retries came early. Pure.

Stories of exchanges and the faults come in. A request after one that failed, with the next number, is a retry and is
held against the schedule. Any other is a repeat, and must fall to a fault that may have spoilt the result of the one
before.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from reliability.exchanges import Exchange, History
from reliability.faultlog import Span
from reliability.lines import CLOSED

JITTER = 0.1
LATE_S = 5.0
CLOCK_S = 0.001
"""How exactly two moments of the receiver's journal can be compared."""
MAX_AFTERMATH_S = 60.0
RESENT_S = 5.0
"""Within which time a request may come again in its attempt, where the receiver closed a kept connection unanswered: the
time limit of an attempt."""


class After(StrEnum):
    """What the repeated request had come to, as the receiver knows."""

    DELIVERED = "delivered"
    CUT_OFF = "cut off"
    FAILED = "failed"


class Repeat(Struct, frozen=True, kw_only=True):
    """A request that was made again: where, when, after what, and the number of the fault to which it falls."""

    lane: str
    event_id: str
    at: float
    earlier_at: float
    after: After
    fault: int | None
    slow_answer: bool = False

    @property
    def explained(self) -> bool:
        """Whether there was a reason: a fault, or an answer that came at the endpoint's time limit."""
        return self.fault is not None or self.slow_answer


class Retry(Struct, frozen=True, kw_only=True):
    """A retry that did not come when it should: the pause that was due, and that was made, in seconds."""

    lane: str
    event_id: str
    attempt: int
    at: float
    due_s: float
    waited_s: float


class Repeats(Struct, kw_only=True):
    """All repeats, the number of proper retries, and those that were early or late without a fault.

    `resent` counts requests that came again at once, within the same attempt, because the receiver had closed a
    connection that was kept alive: the sender cannot distinguish this from one that was closed before. Once each time that an
    attempt is made.
    """

    repeats: list[Repeat]
    resent: int
    retries: int
    early: list[Retry]
    late: list[Retry]


def find_repeats(
    histories: Iterable[History], faults: Sequence[Span], *, schedule: Sequence[int], timeout_s: float
) -> Repeats:
    """Return what was sent again; `schedule` are the endpoint's seconds before each attempt."""
    found = Repeats(repeats=[], resent=0, retries=0, early=[], late=[])
    calendar = _Calendar(faults)
    for history in histories:
        resent = False
        for index, exchange in enumerate(history.exchanges[1:], 1):
            before = history.exchanges[:index]
            earlier = _that_decided(before)
            resent = not resent and _resent(before[-1], exchange)
            if earlier.failed and exchange.attempt > earlier.attempt:
                found.retries += 1
                failed_at = _failed_at(before, exchange.attempt - 1, earlier.done)
                _hold_against_schedule(found, failed_at, exchange, schedule, calendar)
            elif resent:
                found.resent += 1
            else:
                found.repeats.append(_repeat(earlier, exchange, calendar, timeout_s))
    return found


def _that_decided(earlier: Sequence[Exchange]) -> Exchange:
    """The last exchange that was delivered, otherwise the last."""
    return next((one for one in reversed(earlier) if one.delivered), earlier[-1])


def _resent(first: Exchange, later: Exchange) -> bool:
    """Whether it can be the second request of an attempt whose first found the connection closed."""
    same = first.attempt == later.attempt and first.node == later.node
    return same and first.status == CLOSED and later.at - first.done < RESENT_S


def _failed_at(earlier: Sequence[Exchange], attempt: int, otherwise: float) -> float:
    """When the attempt of this number failed; where it was made twice, the first of them may have been written."""
    return min((one.done for one in earlier if one.failed and one.attempt == attempt), default=otherwise)


def _hold_against_schedule(
    found: Repeats, failed_at: float, later: Exchange, schedule: Sequence[int], calendar: "_Calendar"
) -> None:
    due_s = float(schedule[later.attempt - 1]) if later.attempt <= len(schedule) else float("inf")
    retry = Retry(
        lane=later.lane,
        event_id=later.event_id,
        attempt=later.attempt,
        at=later.at,
        due_s=due_s,
        waited_s=later.at - failed_at,
    )
    if retry.waited_s < due_s - CLOCK_S:
        found.early.append(retry)
    elif retry.waited_s > due_s * (1 + JITTER) + LATE_S and not calendar.trouble(failed_at, later.at):
        found.late.append(retry)


def _repeat(earlier: Exchange, later: Exchange, calendar: "_Calendar", timeout_s: float) -> Repeat:
    after = After.DELIVERED if earlier.delivered else After.FAILED if earlier.failed else After.CUT_OFF
    return Repeat(
        lane=later.lane,
        event_id=later.event_id,
        at=later.at,
        earlier_at=earlier.at,
        after=after,
        fault=calendar.reason(earlier, later),
        slow_answer=earlier.done - earlier.at > 0.9 * timeout_s,
    )


class _Calendar:
    """The faults by time."""

    def __init__(self, faults: Sequence[Span]) -> None:
        self._faults = faults
        self._began = [span.fault.began for span in faults]

    def reason(self, earlier: Exchange, later: Exchange) -> int | None:
        """Return the number of a fault that explains why `later` was sent although `earlier` was."""
        for span in reversed(self._faults[: bisect_right(self._began, later.at)]):
            spoilt = span.may_have_spoilt(earlier.node, earlier.at, earlier.done)
            if spoilt or span.may_have_sent(later.node, later.at):
                return span.fault.number
        return None

    def trouble(self, begin: float, end: float) -> bool:
        """Whether a fault, or what it left behind, lies in this time."""
        begun = self._faults[: bisect_right(self._began, end)]
        return any(span.ended + MAX_AFTERMATH_S >= begin for span in begun)
