"""How often an address may try to sign in."""

from collections import OrderedDict

from esimhooks.server.domain.errors import Refused

TRIES, PER_S = 10, 60.0
MOST_KEPT = 10_000


class Tries:
    """Counts tries by address in this process; at most `TRIES` in `PER_S` seconds."""

    def __init__(self) -> None:
        self._since: OrderedDict[str, list[float]] = OrderedDict()

    def take(self, address: str, *, now: float) -> None:
        """Count a try. Raises `Refused` (429) where there were too many."""
        recent = [at for at in self._since.pop(address, []) if now - at < PER_S]
        allowed = len(recent) < TRIES
        self._since[address] = [*recent, now] if allowed else recent
        if len(self._since) > MOST_KEPT:
            self._since.popitem(last=False)
        if not allowed:
            raise Refused.too_many(
                "too many tries from your address; wait a minute",
                code="TOO_MANY_TRIES",
                retry_after_s=PER_S - (now - recent[0]),
            )
