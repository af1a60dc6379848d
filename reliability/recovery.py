"""Recovery: how long after each fault until requests are accepted and webhooks arrive at every lane. Pure."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from msgspec import Struct

from reliability.faultlog import LIMITS_S, Span
from reliability.lines import Fault, Kind

LEFT_OVER_S = 0.2
"""What arrives so soon after a fault may have been sent before it."""


class Recovery(Struct, frozen=True, kw_only=True):
    """Seconds until the first accepted request and until the last lane had its first webhook.

    None where the next fault, or the end, came before.
    """

    fault: Fault
    accepted_s: float | None
    arrived_s: float | None
    limit_s: float | None
    too_late: bool

    @property
    def measured(self) -> bool:
        """Whether it was given the time to recover."""
        return self.accepted_s is not None and self.arrived_s is not None


def recoveries(
    faults: Sequence[Span],
    *,
    accepted: Sequence[float],
    arrivals: Mapping[str, Sequence[float]],
    stopped_at: float,
) -> list[Recovery]:
    """Return the recovery from each fault; `accepted` and `arrivals` (by lane) are moments, ascending.

    What had not recovered when the next fault began is not measured, unless it was too late by then. Too late is what
    outlasts both the fault's own limit and those of earlier ones, as the lanes of a node that was killed just before.
    `stopped_at` is when the producer was signalled to end.
    """
    # A node that ends because the database is away is part of that fault.
    faults = [span for span in faults if span.fault.kind is not Kind.EXIT]
    ends = [*(span.fault.began for span in faults[1:]), stopped_at]
    due = accumulate((_due(span) for span in faults), max)
    return [
        _recovery(span, max(end, span.ended), due=latest, accepted=accepted, arrivals=arrivals)
        for span, end, latest in zip(faults, ends, due, strict=True)
    ]


def _due(span: Span) -> float:
    """By when everything must go on again after this fault alone."""
    return span.counted_from + LIMITS_S.get(span.fault.kind, 0.0)


def _recovery(
    span: Span, end: float, *, due: float, accepted: Sequence[float], arrivals: Mapping[str, Sequence[float]]
) -> Recovery:
    zero = span.counted_from
    limit_s = LIMITS_S.get(span.fault.kind)
    accepted_s = _first(accepted, zero, end)
    lanes = [_first(times, zero + LEFT_OVER_S, end) for times in arrivals.values()]
    known = [lane_s for lane_s in lanes if lane_s is not None]
    arrived_s = max(known) - zero if known and len(known) == len(lanes) else None
    took_s = [end - zero if lane_s is None else lane_s - zero for lane_s in (accepted_s, *lanes)]
    return Recovery(
        fault=span.fault,
        accepted_s=None if accepted_s is None else accepted_s - zero,
        arrived_s=arrived_s,
        limit_s=limit_s,
        too_late=limit_s is not None and zero + max(took_s) > due,
    )


def _first(moments: Sequence[float], begin: float, end: float) -> float | None:
    place = bisect_right(moments, begin)
    return moments[place] if place < len(moments) and moments[place] <= end else None
