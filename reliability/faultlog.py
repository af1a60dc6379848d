"""What each fault could have caused: whose attempts it touches, and when. Pure.

The campaign's own journal comes in; spans of time come out that repeats and recoveries are held against.
"""

from collections.abc import Iterable

from msgspec import Struct

from reliability.lines import Fault, Kind

SETTLE_S = 2.0
"""How long after an answer its result may still be on its way to the disk."""

READ_LATE_S = 0.5
"""How long after it was sent a busy receiver may read a request: what a killed process had sent still arrives."""

TOUCHES_NOTHING = frozenset({Kind.CLOCK, Kind.ROLLING})
"""Not a reason for any repeat."""

AFTERWARDS_S = {
    Kind.DATABASE_KILL: 5.0,
    Kind.BACKEND_KILL: 5.0,
    Kind.DATABASE_RESTART: 5.0,
    Kind.DISK: 5.0,
    Kind.POWER: 5.0,
    Kind.INTERRUPTED: 5.0,
    Kind.NETWORK: 5.0,
    Kind.PAUSE: 5.0,
    Kind.FAILOVER: 10.0,
    Kind.ISOLATION: 10.0,
    Kind.SWITCHOVER: 10.0,
}
"""How long after its end a fault may still spoil results: connections are found dead, a paused node wakes."""

STALE_HOLDERS = frozenset({Kind.PAUSE, Kind.NETWORK})
"""What leaves a node that believes for a short time that its leases are still valid."""

LIMITS_S = {
    Kind.KILL: 35.0,
    Kind.CHILD_KILL: 15.0,
    Kind.PARENT_KILL: 35.0,
    Kind.POWER: 35.0,
    Kind.PAUSE: 35.0,
    Kind.DATABASE_KILL: 10.0,
    Kind.BACKEND_KILL: 10.0,
    Kind.DATABASE_RESTART: 10.0,
    Kind.NETWORK: 10.0,
    Kind.DISK: 10.0,
    Kind.CLOCK: 10.0,
    Kind.FAILOVER: 10.0,
    Kind.ISOLATION: 10.0,
    Kind.SWITCHOVER: 10.0,
}
"""How long until everything goes on; counted from the beginning for `FROM_ITS_BEGINNING`, else from the end."""

FROM_ITS_BEGINNING = frozenset({Kind.PAUSE, Kind.CLOCK})


class Span(Struct, frozen=True, kw_only=True):
    """A fault with its end."""

    fault: Fault
    ended: float

    @property
    def counted_from(self) -> float:
        """From when the time until everything goes on is counted."""
        return self.fault.began if self.fault.kind in FROM_ITS_BEGINNING else self.ended

    def touches(self, node: str) -> bool:
        """Whether attempts of the node at this address can suffer."""
        if self.fault.kind in TOUCHES_NOTHING:
            return False
        return not self.fault.node or self.fault.node == node

    def may_have_spoilt(self, node: str, at: float, done: float) -> bool:
        """Whether an attempt from `at` to `done` may have ended without its result being written."""
        last = self.ended + AFTERWARDS_S.get(self.fault.kind, 0.0)
        return self.touches(node) and at <= last + READ_LATE_S and self.fault.began <= done + SETTLE_S

    def may_have_sent(self, node: str, at: float) -> bool:
        """Whether the attempt at this time may be one of a node that has lost its lanes and does not know it."""
        last = self.ended + AFTERWARDS_S.get(self.fault.kind, 0.0)
        return self.fault.kind in STALE_HOLDERS and self.touches(node) and self.fault.began <= at <= last


def spans(lines: Iterable[Fault]) -> list[Span]:
    """Return the faults with their ends, in the order of their beginnings; one that never ended lasts for ever."""
    began: dict[int, Fault] = {}
    ended: dict[int, Fault] = {}
    for line in lines:
        (began if line.ended is None else ended)[line.number] = line
    # The line of the end may know more of the fault.
    found = [Span(fault=ended.get(number, fault), ended=_end(ended.get(number))) for number, fault in began.items()]
    return sorted(found, key=lambda span: span.fault.began)


def _end(line: Fault | None) -> float:
    return float("inf") if line is None or line.ended is None else line.ended
