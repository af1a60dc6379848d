"""When something is tried again: attempts at an endpoint, requests under its rate limit, queries of a provider.

Pure: jitter and the time are arguments. Delays of attempts run from when the result of the attempt before was written; jitter
only adds. Under a rate limit requests are spaced evenly; one node has the lane, so its spacing is that of all nodes.
"""

from collections.abc import Sequence

STANDARD: tuple[int, ...] = (0, 60, 300, 900, 3600, 7200)
PERSISTENT: tuple[int, ...] = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
NAMED: dict[str, tuple[int, ...]] = {"standard": STANDARD, "persistent": PERSISTENT}

MAX_ATTEMPTS = 20
MAX_JITTER = 0.1
MAX_RETRY_AFTER_S = 86_400.0


def delay_before(attempt: int, schedule: Sequence[int], *, jitter: float) -> float | None:
    """Return the seconds before attempt 1, 2, ..., or None where the schedule has no such attempt.

    `jitter` lies in 0..1 and adds up to 10 %; the first attempt has none.
    """
    if attempt > len(schedule):
        return None
    delay = float(schedule[attempt - 1])
    return delay if attempt == 1 else delay * (1 + MAX_JITTER * jitter)


CATCH_UP_S = 0.05


def next_start(*, due: float, now: float, per_second: int) -> float:
    """Return when the request after the one that starts `now` and was allowed from `due` on may start."""
    return max(due, now - CATCH_UP_S) + 1 / per_second


ALLOCATING_S = (3.0, 3.0, 5.0, 5.0, 8.0)
ORDER_POLL_FIRST_S = 5.0
MAX_PROVIDER_PAUSE_S = 600.0


def allocation_delay_s(tries: int) -> float:
    """Seconds before an order that is still allocating is queried again, after 1, 2, ... tries."""
    if tries <= len(ALLOCATING_S):
        return ALLOCATING_S[tries - 1]
    return min(MAX_PROVIDER_PAUSE_S, ALLOCATING_S[-1] * 2.0 ** min(tries - len(ALLOCATING_S), 20))


def poll_delay_s(polls: int) -> float:
    """Seconds between two polls of a pending order, after 1, 2, ... polls: 5 s to 10 min."""
    return min(MAX_PROVIDER_PAUSE_S, ORDER_POLL_FIRST_S * 2.0 ** min(polls - 1, 20))


def outage_delay_s(tries: int, *, requested_s: float = 0.0) -> float:
    """Seconds before a provider that does not answer is queried again, at least what it requested."""
    return max(requested_s, min(MAX_PROVIDER_PAUSE_S, 2.0 ** min(tries, 20)))
