"""Usage thresholds in percent of the volume (lifecycle, "Usage"). Pure, in integers.

A threshold lies armed above the present percentage: crossing it upwards fires it once, and a top-up or a usage that
falls below it arms it again. So the percentages before and after say all. Where there are several plans, each has its
own.
"""

from collections.abc import Iterable

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.plans import Plan


def percent_used(holder: Esim | Plan | None) -> int:
    """Return the used share of the volume in whole percent, rounded down; 0 where it is unknown or unlimited."""
    if holder is None or not holder.total_bytes or holder.used_bytes is None:
        return 0
    return holder.used_bytes * 100 // holder.total_bytes


def crossed(before: Esim | Plan | None, after: Esim | Plan, thresholds: Iterable[int]) -> tuple[int, ...]:
    """Return the thresholds that this change crossed, ascending."""
    low, high = percent_used(before), percent_used(after)
    return tuple(sorted(threshold for threshold in thresholds if low < threshold <= high))
