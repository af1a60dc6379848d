"""Upkeep: what time brings. Validity that ends, usage that is polled, orders that stay pending, rows that age.

Each function is one round of a loop and returns the seconds until the next. Any number of nodes may run them: rows
are taken with `SKIP LOCKED`.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from msgspec.structs import replace

from esimhooks.server.delivery import operational
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.expiry import expiry_of
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.domain.order import Order
from esimhooks.server.domain.schedule import between_polls
from esimhooks.server.domain.update import Cause
from esimhooks.server.ingest.absorb import Entry, absorb
from esimhooks.server.ingest.orders import fill
from esimhooks.server.ingest.provider_clients import ConnectedProviders
from esimhooks.server.observe.log import get_logger
from esimhooks.server.providers.port import Lookup, ProviderRefused
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import endpoints, esims, fifo, idempotency, journal, orders, polls, queue
from esimhooks.server.store.database import Database
from esimhooks.server.store.esims import Scope
from esimhooks.server.store.partitions import ensure_partitions
from esimhooks.server.store.polls import DuePoll

EXPIRY_BATCH = 200
POLL_BATCH = 200
FAILED_POLL_AGAIN_S = 300.0
ORDER_CLAIM_S = 120.0
SEEN_FOR = timedelta(days=30)
FORGET_BATCH = 1000
OVERDUE_BATCH = 500
LOOK_AGAIN_FOR = timedelta(minutes=5)
"""Longer than any transaction lasts."""

log = get_logger("upkeep")


class Upkeep:
    """The scheduler's rounds. `due` is notified when deliveries came of one."""

    def __init__(
        self,
        database: Database,
        connected: ConnectedProviders,
        *,
        policy: EmitPolicy,
        clock: Clock,
        due: Wake,
        poll_interval_s: float = 10_800,
    ) -> None:
        self._database = database
        self._connected = connected
        self._policy = policy
        self._clock = clock
        self._due = due
        self._poll_interval_s = poll_interval_s

    async def expire(self) -> float:
        """End the validity of eSIMs whose provider has said nothing, also of those that ended while we were down."""
        now = self._clock()
        async with self._database.transaction() as db:
            ended = await esims.lock_expired(db, limit=EXPIRY_BATCH)
            entries = [
                Entry(
                    update=expiry_of(esim),
                    scope=Scope(provider=esim.provider),
                    received_at=now,
                    esim_id=esim.id,
                )
                for esim in ended
            ]
            results = await absorb(db, entries, self._policy, now=now)
        if any(result.event_ids for result in results):
            self._due.notify()
        return 0.0 if len(ended) == EXPIRY_BATCH else 1.0

    async def poll_usage(self) -> float:
        """Ask providers for the usage of active eSIMs that are due, as many in one question as each allows."""
        async with self._database.transaction() as db:
            due = await polls.claim(db, interval_s=self._poll_interval_s, limit=POLL_BATCH)
        by_provider: dict[str, list[DuePoll]] = defaultdict(list)
        for poll in due:
            by_provider[poll.provider].append(poll)
        for name, of_provider in by_provider.items():
            await self._poll_provider(name, of_provider)
        return 0.0 if len(due) == POLL_BATCH else 5.0

    async def _poll_provider(self, name: str, due: Sequence[DuePoll]) -> None:
        connected = await self._connected.find(name)
        if connected is None or not connected.provider.can_fetch:
            return
        size = connected.provider.usage_batch
        due = [*due, *await self._soonest(name, room=-len(due) % size)]
        for first in range(0, len(due), size):
            asked = due[first : first + size]
            try:
                updates = await connected.provider.usage([poll.esim_tran_no for poll in asked])
            except (NotNow, ProviderRefused) as error:
                log.warning("usage.poll_failed", provider=name, error=error, esims=len(asked))
                async with self._database.session() as db:
                    ids = [poll.esim_id for poll in due[first:]]
                    await polls.again_in(db, ids, seconds=FAILED_POLL_AGAIN_S)
                return
            now = self._clock()
            entries = [Entry(update=one, scope=Scope(provider=name), received_at=now) for one in updates]
            async with self._database.transaction() as db:
                await absorb(db, entries, self._policy, now=now)
            self._due.notify()

    async def _soonest(self, name: str, *, room: int) -> Sequence[DuePoll]:
        """What fills the last question: a few eSIMs that come due one by one would else be asked for one by one."""
        if room == 0:
            return ()
        async with self._database.transaction() as db:
            return await polls.claim_soonest(db, name, interval_s=self._poll_interval_s, limit=room)

    async def poll_order(self) -> float:
        """Ask for one order that stays pending; its notification may never come."""
        async with self._database.session() as db:
            order = await orders.claim_poll(db, retry_in_s=ORDER_CLAIM_S)
        if order is None:
            return 1.0
        try:
            await self._fetch_order(order)
        except NotNow as error:
            log.info("order.still_pending", provider=order.provider, polls=order.polls, reason=error.detail)
        except ProviderRefused as error:
            log.warning("order.refused", provider=order.provider, polls=order.polls, reason=error)
        async with self._database.session() as db:
            await orders.poll_again(db, order.id, seconds=between_polls(order.polls))
        return 0.0

    async def _fetch_order(self, order: Order) -> None:
        connected = await self._connected.find(order.provider)
        if connected is None or not connected.provider.can_fetch:
            raise ProviderRefused("it has no credentials")
        told = await connected.provider.fetch(Lookup(order_no=order.order_no))
        snapshots = [replace(snapshot, cause=Cause.ORDER_POLL) for snapshot in told]
        async with self._database.transaction() as db:
            await fill(db, order, snapshots, self._policy, now=self._clock())
        self._due.notify()

    async def make_partitions(self) -> float:
        """Make the partitions of the coming days."""
        async with self._database.transaction() as db:
            await ensure_partitions(db, now=self._clock())
        return 3600.0

    async def fail_overdue(self) -> float:
        """Fail what has waited for far longer than its schedule."""
        async with self._database.transaction() as db:
            failed = await queue.fail_overdue(db, now=self._clock(), limit=OVERDUE_BATCH)
            told = await operational.emit(db, failed, now=self._clock())
        operational.report(failed)
        if told:
            self._due.notify()
        return 0.0 if len(failed) == OVERDUE_BATCH else 60.0

    async def tidy(self) -> float:
        """Forget notifications seen long ago; mend what two transactions could not see of each other.

        That is deliveries made while their endpoint was deleted or gave up the order of its eSIMs, and notifications that
        came in beside their eSIM.
        """
        now = self._clock()
        async with self._database.transaction() as db:
            await fifo.dissolve_stale(db)
            await endpoints.cancel_orphans(db, now=now)
            await journal.wake_missed(db, since=first_id_of(now - LOOK_AGAIN_FOR))
            await idempotency.forget(db, before=now - idempotency.KEPT_FOR)
            forgotten = await journal.forget_seen(db, before=now - SEEN_FOR, limit=FORGET_BATCH)
        return 0.0 if forgotten == FORGET_BATCH else 30.0
