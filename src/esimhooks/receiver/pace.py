"""How many runs a worker claims before it can begin them: as many as it will begin within a moment, by its pace of late.

Ends of handlers and a clock (seconds that never go back) come in, a number goes out. Quick handlers so share the cost of a
claim; slow ones leave the work to whoever is free.
"""

from collections.abc import Callable

AHEAD_S = 0.1
MAX_AHEAD = 100


class Pace:
    """Counts the ends of handlers. `ahead`: how many runs to claim beyond those that can begin at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._ends = 0
        self.ahead = 0

    def count(self) -> None:
        """Note that a handler has ended."""
        self._ends += 1

    def measure(self) -> int:
        """Return `ahead`, brought up to date where the time since the last measuring tells enough."""
        now = self._clock()
        took_s = now - self._since
        if took_s >= AHEAD_S:
            self.ahead = min(MAX_AHEAD, int(self._ends / took_s * AHEAD_S))
            self._since, self._ends = now, 0
        return self.ahead
