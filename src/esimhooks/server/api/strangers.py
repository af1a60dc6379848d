"""Credentials that are none: how many an address may show, and the trace that each leaves.

One limit by address for API keys, sign-ins, inbound addresses and pictures. Who has used it up is refused before anything is
looked up, unless it shows what was good before on this node.
"""

from collections import OrderedDict
from collections.abc import Hashable
from time import monotonic

from esimhooks.server.api.addresses import network_of
from esimhooks.server.api.rate_limit import RateLimit
from esimhooks.server.domain.errors import Refused
from esimhooks.server.observe.refused import Refusals, What

MINUTE_S = 60
MAX_KEPT = 10_000
AUDIT_EVERY_S = 60.0


class Strangers:
    """What addresses have tried, in this process; each may try so many times a minute, 0 for any number."""

    def __init__(self, *, tries_a_minute: int, refusals: Refusals) -> None:
        self._limit = RateLimit(tries_a_minute / MINUTE_S, whose="address", burst_s=MINUTE_S)
        self._refusals = refusals
        self._good: OrderedDict[Hashable, None] = OrderedDict()
        self._audited: OrderedDict[Hashable, float] = OrderedDict()

    def admit(self, address: str, credential: Hashable) -> None:
        """Let a credential be looked up, at the expense of its address. Raises `Refused` (429)."""
        if credential in self._good:
            return
        try:
            self._limit.take(network_of(address), now=monotonic())
        except Refused as refused:
            self.note(What.RATE, address)
            raise Refused.too_many(
                "too many tries from your address; wait a minute",
                code="TOO_MANY_TRIES",
                retry_after_s=refused.retry_after_s or MINUTE_S,
            ) from None

    def accept(self, address: str, credential: Hashable) -> None:
        """Remember that the credential is good; it was no try."""
        if credential in self._good:
            self._good.move_to_end(credential)
            return
        self._limit.give_back(network_of(address))
        self._good[credential] = None
        if len(self._good) > MAX_KEPT:
            self._good.popitem(last=False)

    def note(self, what: What, address: str) -> None:
        """Leave a trace of what was refused."""
        self._refusals.note(what, network_of(address))

    def is_audit_due(self, key: Hashable, address: str) -> bool:
        """Whether the refusal of a known key is to be written to the audit log: once a minute for each address."""
        now, name = monotonic(), (key, network_of(address))
        if now - self._audited.get(name, -AUDIT_EVERY_S) < AUDIT_EVERY_S:
            return False
        self._audited[name] = now
        if len(self._audited) > MAX_KEPT:
            self._audited.popitem(last=False)
        return True
