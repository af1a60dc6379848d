"""The rate limit of an endpoint: when the next request may start. Pure; all seconds are of one monotonic clock.

Requests are spaced evenly. One that starts late lets the next follow sooner, but never by more than `CATCH_UP_S`, so
that a second holds at most the limit and its twentieth part. One holder has a lane, so its spacing is that of all nodes.
"""

CATCH_UP_S = 0.05


def next_start(*, due: float, now: float, per_second: int) -> float:
    """Return when the request after the one that starts `now` and was allowed from `due` on may start."""
    return max(due, now - CATCH_UP_S) + 1 / per_second
