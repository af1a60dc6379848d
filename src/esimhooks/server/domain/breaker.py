"""The circuit breaker of a lane: outcomes in; how much may be in flight, and how long the lane cools down, out. Pure.

Ten failures in a row trip it: the lane cools down, then one delivery probes the endpoint while the others wait. A probe that
fails makes the next cooldown longer. Once one succeeds the lane ramps up: each success allows one more in flight, which
doubles it from round to round (1, 2, 4 ...) until the endpoint's own maximum is reached.
"""

from msgspec import Struct

from esimhooks.server.domain.schedule import MAX_RETRY_AFTER_S

TRIPS_AT = 10
FIRST_COOLDOWN_S = 1.0
MAX_COOLDOWN_S = 60.0
MAX_JITTER = 0.1


class BreakerState(Struct, frozen=True):
    """How an endpoint has done lately: failures in a row, and how many it may have in flight (None = its own max_in_flight)."""

    failures: int = 0
    allowed: int | None = None

    @property
    def tripped(self) -> bool:
        """Whether deliveries wait while the endpoint is probed."""
        return self.failures >= TRIPS_AT


class Transition(Struct, frozen=True):
    """What an outcome makes of the state; `cooldown_s` is how long nothing may be begun, None for not at all."""

    state: BreakerState
    cooldown_s: float | None = None


def after_success(state: BreakerState, *, max_in_flight: int) -> Transition:
    """Reset the failures; while it ramps up, allow one more than before."""
    if state.allowed is None:
        return Transition(BreakerState())
    more = state.allowed + 1
    return Transition(BreakerState(allowed=more if more < max_in_flight else None))


def after_failure(state: BreakerState, *, retry_after_s: float, jitter: float) -> Transition:
    """Count the failure; from the tenth on, cool down for at least the seconds that the receiver asked for, a day at most.

    `jitter` lies in 0..1 and adds up to 10 %, so that the nodes of a receiver are not probed in step.
    """
    failures = state.failures + 1
    if failures < TRIPS_AT:
        return Transition(BreakerState(failures, None if state.allowed is None else 1))
    cooldown_s = min(MAX_COOLDOWN_S, FIRST_COOLDOWN_S * 2.0 ** min(failures - TRIPS_AT, 20)) * (1 + MAX_JITTER * jitter)
    return Transition(BreakerState(failures, 1), cooldown_s=max(cooldown_s, min(retry_after_s, MAX_RETRY_AFTER_S)))
