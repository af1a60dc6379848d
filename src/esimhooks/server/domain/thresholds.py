"""Usage thresholds in percent of the volume (lifecycle, "Usage"). Pure, in integers.

A threshold lies armed above the present percentage: crossing it upwards fires it once, and a top-up or a usage that
falls below it arms it again. So the percentages before and after say all.
"""

from collections.abc import Iterable

from esimhooks.server.domain.esim import Esim


def percent_used(esim: Esim) -> int:
    """Return the used share of the volume in whole percent, rounded down; 0 where it is unknown."""
    if not esim.total_bytes or esim.used_bytes is None:
        return 0
    return esim.used_bytes * 100 // esim.total_bytes


def crossed(before: Esim, after: Esim, thresholds: Iterable[int]) -> tuple[int, ...]:
    """Return the thresholds that this change crossed, ascending."""
    low, high = percent_used(before), percent_used(after)
    return tuple(sorted(threshold for threshold in thresholds if low < threshold <= high))
