"""How much a caller may ask of us: token buckets by key and by address, on each node by itself, and credentials that are none.

A key, an address and the present time come in, what is left or the seconds to wait come out. Memory is bounded: buckets that were
not used for longest are dropped, which can only let more through.
"""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address
from math import ceil
from time import monotonic

from msgspec import Struct

from esimhooks.server.api.buckets import Bucket, Buckets, OwnBuckets
from esimhooks.server.domain.errors import Refused
from esimhooks.server.observe.refused import RefusalKind, Refusals


def address_of(text: str) -> str:
    """Return the address in `203.0.113.9`, `203.0.113.9:50000`, `[2001:db8::1]:50000` or `::ffff:203.0.113.9`.

    What is no address comes back as it is.
    """
    parsed = _parse(text)
    return text if parsed is None else str(parsed)


def network_of(address: str) -> str:
    """Return the network whose limits an address shares: in IPv6 a caller has a whole /64."""
    parsed = _parse(address)
    if parsed is None:
        return address
    return str(parsed) if isinstance(parsed, IPv4Address) else str(ipaddress.ip_network((parsed, 64), strict=False))


def is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Whether the address is in one of the networks (CIDR)."""
    parsed = _parse(address)
    return parsed is not None and any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        # Without its zone, as networks have none.
        parsed = IPv6Address(int(parsed)) if parsed.ipv4_mapped is None else parsed.ipv4_mapped
    return parsed


BURST_S = 2
"""A bucket holds so many seconds' worth of requests, unless a caller says otherwise."""


class RateLimitState(Struct, frozen=True):
    """What a caller may still do: `limit` requests at once at most, `remaining` now, all again in `reset_s`."""

    limit: int
    remaining: int
    reset_s: float


class RateLimit:
    """Buckets of one kind (`scope`: key or address) that fill by `per_s` requests a second; 0 is no limit."""

    def __init__(self, per_s: float, *, scope: str, burst_s: float = BURST_S, buckets: Buckets | None = None) -> None:
        self._per_s = per_s
        self._capacity = round(per_s * burst_s)
        self._scope = scope
        self._buckets = OwnBuckets() if buckets is None else buckets

    def take(self, name: str, *, now: float) -> RateLimitState | None:
        """Take one token; None where there is no limit. Raises `Refused` (429)."""
        if not self._per_s:
            return None
        capacity = self._capacity
        bucket = self._buckets.get(name) or Bucket(capacity, now)
        bucket.tokens = min(capacity, bucket.tokens + max(0.0, now - bucket.filled_at) * self._per_s)
        bucket.filled_at = now
        is_over = bucket.tokens < 1
        bucket.tokens -= not is_over
        self._buckets.put(name, bucket)
        if is_over:
            raise Refused.too_many(
                f"too many requests for this {self._scope}",
                code="TOO_MANY_REQUESTS",
                retry_after_s=(1 - bucket.tokens) / self._per_s,
            )
        return RateLimitState(capacity, int(bucket.tokens), (capacity - bucket.tokens) / self._per_s)

    def spend(self, name: str, *, now: float) -> None:
        """Take one token if there is one."""
        with suppress(Refused):
            self.take(name, now=now)

    def give_back(self, name: str) -> None:
        """Put back one token that was taken for nothing."""
        bucket = self._buckets.get(name)
        if bucket is not None:
            bucket.tokens = min(self._capacity, bucket.tokens + 1)
            self._buckets.put(name, bucket)


def limits(state: RateLimitState) -> dict[str, str]:
    """Return the headers that say what a caller may still do."""
    values = {"limit": state.limit, "remaining": state.remaining, "reset": ceil(state.reset_s)}
    return {f"ratelimit-{name}": str(value) for name, value in values.items()}


MINUTE_S = 60
MAX_ENTRIES = 10_000
AUDIT_EVERY_S = 60.0


class LoginThrottle:
    """How often each address may show credentials that are none: so many times a minute, 0 for any number."""

    def __init__(self, *, tries_per_minute: int, refusals: Refusals, buckets: Buckets | None = None) -> None:
        self._limit = RateLimit(tries_per_minute / MINUTE_S, scope="address", burst_s=MINUTE_S, buckets=buckets)
        self._refusals = refusals
        self._good: OrderedDict[Hashable, None] = OrderedDict()
        self._trials: Counter[Hashable] = Counter()
        self._audited: OrderedDict[Hashable, float] = OrderedDict()

    @contextmanager
    def trial(self, address: str, credential: Hashable) -> Iterator[None]:
        """Let a credential be looked up in the body, at the expense of its address if the body raises `Refused`.

        Requests that come at once with one credential count as one until it is refused: a caller with many connections
        begins with all of them. Raises `Refused` (429).
        """
        if credential in self._good:
            self._good.move_to_end(credential)
            yield
            return
        name = network_of(address)
        self._take(name, address)
        is_paid = not self._trials[credential]
        if not is_paid:
            self._limit.give_back(name)
        self._trials[credential] += 1
        is_wrong = False
        try:
            yield
            self._good[credential] = None
            if len(self._good) > MAX_ENTRIES:
                self._good.popitem(last=False)
        except Refused:
            is_wrong = True
            raise
        finally:
            self._trials -= Counter([credential])
            if is_paid and not is_wrong:
                self._limit.give_back(name)
            elif is_wrong and not is_paid:
                self._limit.spend(name, now=monotonic())

    def _take(self, name: str, address: str) -> None:
        try:
            self._limit.take(name, now=monotonic())
        except Refused as refused:
            self.note(RefusalKind.RATE, address)
            raise Refused.too_many(
                "too many failed attempts from your address; wait a minute",
                code="TOO_MANY_TRIES",
                retry_after_s=refused.retry_after_s or MINUTE_S,
            ) from None

    def note(self, what: RefusalKind, address: str) -> None:
        """Leave a trace of what was refused."""
        self._refusals.note(what, network_of(address))

    def is_audit_due(self, key: Hashable, address: str) -> bool:
        """Whether the refusal of a known key is to be written to the audit log: once a minute for each address."""
        now, name = monotonic(), (key, network_of(address))
        if now - self._audited.get(name, -AUDIT_EVERY_S) < AUDIT_EVERY_S:
            return False
        self._audited[name] = now
        if len(self._audited) > MAX_ENTRIES:
            self._audited.popitem(last=False)
        return True
