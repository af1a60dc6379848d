"""What was refused leaves a trace: counted by what it was, and logged once a minute for each address, with how often.

In come refusals, out go log lines and a metric. What was tried is never written, and the memory that addresses take is bounded.
"""

import asyncio
from collections import Counter
from enum import StrEnum

from esimhooks.server.observe import metrics
from esimhooks.server.observe.log import get_logger

LOG_EVERY_S = 60.0
MAX_ADDRESSES = 10_000
OTHERS = "others"

log = get_logger("access")


class RefusalKind(StrEnum):
    """What was refused; the values are those of the metric's label."""

    KEY = "key"
    """An API key that is none, or has expired."""
    ADDRESS = "address"
    """A key that may not be used from where the request came from."""
    ROLE = "role"
    """A key that may not do what it tried."""
    SIGN_IN = "sign-in"
    INBOUND = "inbound"
    """An inbound address that no provider has, or a signature that is wrong."""
    PICTURE = "picture"
    RATE = "rate"
    """More requests than a key or an address may send, or more tries."""
    MALFORMED = "malformed"
    """What is no HTTP."""
    HEAD = "head"
    """A head that is too large or has too many headers."""
    TIMEOUT = "timeout"
    """A head or a body that did not come in time."""
    CONNECTION = "connection"
    """One connection more than a process or an address may have."""


class Refusals:
    """The trace of what one process has refused."""

    def __init__(self) -> None:
        self._since_logged: dict[str, Counter[RefusalKind]] = {}

    def note(self, what: RefusalKind, address: str) -> None:
        """Count a refusal; the first from an address is logged at once, the following together a minute later."""
        metrics.refused(what)
        if address not in self._since_logged and len(self._since_logged) >= MAX_ADDRESSES:
            address = OTHERS
        following = self._since_logged.get(address)
        if following is not None:
            following[what] += 1
            return
        _log(address, {what: 1})
        self._since_logged[address] = Counter()
        self._log_later(address)

    def _log_later(self, address: str) -> None:
        asyncio.get_running_loop().call_later(LOG_EVERY_S, self._log_following, address)

    def _log_following(self, address: str) -> None:
        following = self._since_logged.pop(address)
        if following:
            _log(address, following)
            self._since_logged[address] = Counter()
            self._log_later(address)


def _log(address: str, counts: dict[RefusalKind, int]) -> None:
    what = ", ".join(f"{what.value} {count}" for what, count in counts.items())
    log.warning("access.refused", address=address, count=sum(counts.values()), what=what)
