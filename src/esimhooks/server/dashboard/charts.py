"""What a chart draws: counts by spans of time in, one row of numbers for each line out. The script only draws it."""

from collections.abc import Sequence
from datetime import datetime

from esimhooks.server.domain.delivery import DeliveryStatus
from esimhooks.server.domain.stats import RETRYING, BucketCount

STATUSES = [RETRYING, *(status.value for status in DeliveryStatus)]
Series = list[list[int]]


def by_status(edges: Sequence[datetime], counts: Sequence[BucketCount]) -> dict[str, list[int]]:
    """Return for each status of deliveries how many lie behind each edge."""
    counted = {status: [0] * len(edges) for status in STATUSES}
    for one in counts:
        counted[one.status][one.bucket] += one.number
    return counted


def series_of(edges: Sequence[datetime], lines: Sequence[list[int]]) -> Series:
    """Return the edges as seconds since 1970, then the lines."""
    return [[int(edge.timestamp()) for edge in edges], *lines]
