"""When a handler that failed is called again, and how long everything else waits. Pure numbers, in seconds."""

import random
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import force_setattr

SCHEDULE_S = (1, 5, 30, 60, 300, 900, 3600, 10_800, 21_600, 43_200)
"""Eleven attempts in about a day."""

MAX_JITTER = 0.1
MAX_LIMIT_S = 10 * 365 * 86_400.0
"""Longer than any process lives. Threads cannot wait for `inf`, which stands for no limit at all."""


class Retrying(Struct, frozen=True, kw_only=True):
    """`schedule_s`: the pause after each failed attempt; after the one behind the last pause it is a dead letter.

    `lease_s`: how long the runs of a process that died wait for another. `gap_wait_s`: how long an ordered handler
    waits for a missing number. `handler_limit_s`: when a handler is given up and counted as failed; an async one is
    cancelled, a thread cannot be and is left behind. `transactional_limit_s`: the same for transactional handlers, which
    keep the sender waiting and, in SQLite, every other writer. `float("inf")` is no limit.
    """

    schedule_s: Sequence[float] = SCHEDULE_S
    lease_s: float = 30.0
    gap_wait_s: float = 5.0
    handler_limit_s: float = 300.0
    transactional_limit_s: float = 1.5

    def __post_init__(self) -> None:
        for name in ("lease_s", "gap_wait_s", "handler_limit_s", "transactional_limit_s"):
            force_setattr(self, name, min(getattr(self, name), MAX_LIMIT_S))

    def pause_s(self, attempts: int) -> float | None:
        """Return the pause before the next attempt when `attempts` had failed before this one; None for no more.

        Up to a tenth is added, so that what failed together does not come back together.
        """
        if attempts >= len(self.schedule_s):
            return None
        return self.schedule_s[attempts] * (1 + random.random() * MAX_JITTER)  # noqa: S311 - jitter
