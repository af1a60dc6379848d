"""Streams: those who listen to a tenant's events over HTTP are woken when more were committed, on whatever node.

Notifications come in, listeners are woken; what they then read is between them and the store. Their number is bounded.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store import events
from esimhooks.server.store.database import Database

MAX_OF_TENANT = 10
MAX_STREAMS = 500
CHECK_EVERY_S = 0.25
"""While a stream is open: nodes that hand over their deliveries directly send no notification."""
IDLE_S = 60.0
FULL_S = 5.0
"""When to try again where too many listen; it is not known when one of them leaves."""


class Streams:
    """The listeners of one node. `wake` is notified when events may have been committed."""

    def __init__(self, database: Database) -> None:
        self.wake = Wake()
        self._database = database
        self._listeners: dict[Tenant, set[Wake]] = defaultdict(set)
        self._heads: dict[Tenant, int] = {}

    @contextmanager
    def listening(self, tenant: Tenant) -> Iterator[Wake]:
        """Yield a `Wake` that is notified when the tenant has more events. Raises `Refused` (429) where too many listen."""
        number = len(self._listeners.get(tenant, ()))
        if number >= MAX_OF_TENANT or sum(map(len, self._listeners.values())) >= MAX_STREAMS:
            raise Refused.too_many(
                f"too many streams are open: expected at most {MAX_OF_TENANT} of an account and mode",
                code="TOO_MANY_STREAMS",
                retry_after_s=FULL_S,
            )
        wake = Wake()
        self._listeners[tenant].add(wake)
        self.wake.notify()
        try:
            yield wake
        finally:
            self._listeners[tenant].discard(wake)
            if not self._listeners[tenant]:
                del self._listeners[tenant]
                self._heads.pop(tenant, None)

    async def wake_readers(self) -> float:
        """Wake those whose tenant has more events than in the last round; the work of a loop."""
        tenants = list(self._listeners)
        if not tenants:
            return IDLE_S
        async with self._database.session() as db:
            heads = await events.heads(db, tenants)
        for tenant, head in heads.items():
            if self._heads.get(tenant) != head:
                self._heads[tenant] = head
                for wake in self._listeners.get(tenant, ()):
                    wake.notify()
        await asyncio.sleep(0)
        return CHECK_EVERY_S
