"""The breaker of a lane: outcomes in, how much may be in flight and how long the lane rests out. Pure.

Ten failures in a row open it: the lane rests, then one delivery probes the endpoint while the others wait. A probe that
fails makes the next rest longer. Once one succeeds the lane ramps up: each success allows one more in flight, which
doubles it from round to round (1, 2, 4 ...) until the endpoint's own cap is reached (delivery, "Per endpoint").
"""

from msgspec import Struct

from esimhooks.server.domain.schedule import LONGEST_RETRY_AFTER_S

OPENS_AT = 10
FIRST_REST_S = 1.0
LONGEST_REST_S = 60.0
JITTER = 0.1


class Strain(Struct, frozen=True):
    """How an endpoint has done lately: failures in a row, and how many it may have in flight (None = its own cap)."""

    failures: int = 0
    allowed: int | None = None

    @property
    def open(self) -> bool:
        """Whether deliveries wait while the endpoint is probed."""
        return self.failures >= OPENS_AT


class Step(Struct, frozen=True):
    """What an outcome makes of the strain; `rest_s` is how long nothing may be begun, None for not at all."""

    strain: Strain
    rest_s: float | None = None


def after_success(strain: Strain, *, cap: int) -> Step:
    """Forget the failures; while it ramps up, allow one more than before."""
    if strain.allowed is None:
        return Step(Strain())
    more = strain.allowed + 1
    return Step(Strain(allowed=more if more < cap else None))


def after_failure(strain: Strain, *, asked_s: float, chance: float) -> Step:
    """Count the failure; from the tenth on, rest, at least the seconds that the receiver asked for, a day at most.

    `chance` lies in 0..1 and gives 0-10 % jitter, so that the nodes of a receiver are not probed in step.
    """
    failures = strain.failures + 1
    if failures < OPENS_AT:
        return Step(Strain(failures, None if strain.allowed is None else 1))
    rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(failures - OPENS_AT, 20)) * (1 + JITTER * chance)
    return Step(Strain(failures, 1), rest_s=max(rest_s, min(asked_s, LONGEST_RETRY_AFTER_S)))
