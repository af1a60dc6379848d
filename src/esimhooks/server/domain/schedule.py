"""When the next attempt may start (wire, "Schedule"). Pure: chance is an argument.

Delays run from the end of the attempt before; jitter only adds.
"""

from collections.abc import Sequence

STANDARD: tuple[int, ...] = (0, 60, 300, 900, 3600, 7200)
PERSISTENT: tuple[int, ...] = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
NAMED: dict[str, tuple[int, ...]] = {"standard": STANDARD, "persistent": PERSISTENT}

MAX_ATTEMPTS = 20
JITTER = 0.1
LONGEST_RETRY_AFTER_S = 86_400.0


def delay_before(attempt: int, schedule: Sequence[int], *, chance: float) -> float | None:
    """Return the seconds before attempt 1, 2, ..., or None where the schedule has no such attempt.

    `chance` lies in 0..1 and gives 0-10 % jitter; the first attempt has none.
    """
    if attempt > len(schedule):
        return None
    delay = float(schedule[attempt - 1])
    return delay if attempt == 1 else delay * (1 + JITTER * chance)
