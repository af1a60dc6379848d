"""How often an address may try to sign in."""

from collections import OrderedDict
from time import monotonic

TRIES, PER_S = 10, 60.0
MOST_KEPT = 10_000


class Tries:
    """Counts tries by address in this process; at most `TRIES` in `PER_S` seconds."""

    def __init__(self) -> None:
        self._since: OrderedDict[str, list[float]] = OrderedDict()

    def allow(self, address: str) -> bool:
        """Count a try and return whether it may go on."""
        now = monotonic()
        recent = [at for at in self._since.pop(address, []) if now - at < PER_S]
        allowed = len(recent) < TRIES
        self._since[address] = [*recent, now] if allowed else recent
        if len(self._since) > MOST_KEPT:
            self._since.popitem(last=False)
        return allowed
