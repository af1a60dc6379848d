"""How many requests a key and an address may send: token buckets, on each node by itself.

A name and the present moment come in, leave or the seconds to wait come out. Memory is bounded: buckets that were not
used for longest are forgotten, which can only let more through.
"""

from collections import OrderedDict
from math import ceil

from msgspec import Struct

from esimhooks.server.domain.errors import Refused

MAX_BUCKETS = 10_000
BURST_S = 2
"""A bucket holds so many seconds' worth of requests, unless it is told otherwise."""


class Leave(Struct, frozen=True):
    """What a caller may do yet: `limit` requests at once at most, `remaining` now, all again in `reset_s`."""

    limit: int
    remaining: int
    reset_s: float


class _Bucket(Struct):
    tokens: float
    filled_at: float


class RateLimit:
    """Buckets of one kind (`whose`: key or address) that fill by `per_s` requests a second; 0 is no limit."""

    def __init__(self, per_s: float, *, whose: str, burst_s: float = BURST_S) -> None:
        self._per_s = per_s
        self._room = round(per_s * burst_s)
        self._whose = whose
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, *, now: float) -> Leave | None:
        """Take one token; None where there is no limit. Raises `Refused` (429)."""
        if not self._per_s:
            return None
        room = self._room
        bucket = self._buckets.pop(name, None) or _Bucket(room, now)
        bucket.tokens = min(room, bucket.tokens + max(0.0, now - bucket.filled_at) * self._per_s)
        bucket.filled_at = now
        self._buckets[name] = bucket
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            raise Refused.too_many(
                f"more requests than this {self._whose} may send",
                code="TOO_MANY_REQUESTS",
                retry_after_s=(1 - bucket.tokens) / self._per_s,
            )
        bucket.tokens -= 1
        return Leave(room, int(bucket.tokens), (room - bucket.tokens) / self._per_s)

    def give_back(self, name: str) -> None:
        """Put back one token that was taken for nothing."""
        bucket = self._buckets.get(name)
        if bucket is not None:
            bucket.tokens = min(self._room, bucket.tokens + 1)


def limits(leave: Leave) -> dict[str, str]:
    """Return the headers that tell a caller what it may do yet."""
    told = {"limit": leave.limit, "remaining": leave.remaining, "reset": ceil(leave.reset_s)}
    return {f"ratelimit-{name}": str(value) for name, value in told.items()}
