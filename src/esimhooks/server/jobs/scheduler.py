"""Time-driven jobs: validity that ends, usage that is polled or pending, orders that stay pending, rows that age, figures.

Each function is one round of a loop and returns the seconds until the next. Any number of nodes may run them: rows
are taken with `SKIP LOCKED`.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from time import monotonic
from typing import TypeAlias
from uuid import UUID

from msgspec.structs import replace

from esimhooks.server.delivery import operational
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.errors import NotNow, is_database_away
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, first_id_of, text_of
from esimhooks.server.domain.order import Order
from esimhooks.server.domain.provider import ProviderFacts, ProviderState, is_silent, provider_health_of
from esimhooks.server.domain.schedule import poll_delay_s
from esimhooks.server.domain.update import Cause
from esimhooks.server.domain.validity import expiry_of
from esimhooks.server.ingest.batch import BatchResult, Item, apply_batch, emit_pending
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.ingest.orders import fail, fill, has_failed
from esimhooks.server.ingest.provider_clients import ProviderClient, ProviderClients
from esimhooks.server.jobs.due_work import IDLE_S
from esimhooks.server.observe import metrics
from esimhooks.server.observe.log import get_logger
from esimhooks.server.providers.port import Lookup, OrderFailed, ProviderRefused
from esimhooks.server.runtime.for_each import for_each
from esimhooks.server.store import (
    endpoints,
    esims,
    fifo,
    health,
    idempotency,
    journal,
    lanes,
    orders,
    polls,
    provider_health,
    provider_troubles,
    queue,
)
from esimhooks.server.store.batch_reads import Scope
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.partitions import ensure_partitions
from esimhooks.server.store.polls import DuePoll

EXPIRY_BATCH = 200
PASSED_BY_S = 300.0
"""After this an eSIM whose end or usage could not be written is tried again."""
POLL_BATCH = 200
ORDERS_PER_PROVIDER = 10
MAX_PROVIDERS = 20
"""Queries to providers that are in flight at once: one that is silent does not delay the others."""
FAILED_POLL_RETRY_S = 300.0
ORDER_CLAIM_S = 120.0
TROUBLES_S, SILENCE_S = 5.0, 300.0
TOP_UP_POLLS = 40
"""Some six hours; the polls of usage go on, and the next volume that is added still names the order."""
SEEN_FOR = timedelta(days=30)
BATCH = 1000
OVERDUE_BATCH = 500
PARTITIONS_RETRY_S = 60.0
ALERT_BATCH = 100
MISSED_WITHIN = timedelta(minutes=5)
"""Longer than any transaction lasts, and clocks of nodes are apart."""
MISSED_BATCH = 1000

Work: TypeAlias = Callable[[Session, int, list[UUID]], Awaitable[BatchResult | None]]
"""Locks up to so many eSIMs that are due, adds their ids to the list and applies what follows, in the transaction."""

log = get_logger("scheduler")


class Scheduler:
    """The scheduler's rounds. `wakes` are notified after each commit."""

    def __init__(  # noqa: PLR0913 - two are settings
        self,
        database: Database,
        clients: ProviderClients,
        *,
        policy: EmitPolicy,
        clock: Clock,
        wakes: Wakes,
        poll_interval_s: float = 10_800,
        retention_days: int = 30,
    ) -> None:
        self._database = database
        self._clients = clients
        self._policy = policy
        self._clock = clock
        self._wakes = wakes
        self._poll_interval_s = poll_interval_s
        self._history_retention = timedelta(days=retention_days)
        self._passed_by: dict[UUID, float] = {}
        self._providers_reviewed = False
        self._missed_since = UUID(int=0)

    async def expire(self) -> float:
        """End the validity of eSIMs whose provider has said nothing, also of those that ended while we were down."""
        return await self._process("expiry", self._expire)

    async def emit_pending_usage(self) -> float:
        """Emit pushed usage that has waited for the usage interval."""
        return await self._process("pending usage", self._emit_pending_usage)

    async def _expire(self, db: Session, limit: int, locked: list[UUID]) -> BatchResult | None:
        ended = await esims.lock_expired(db, limit=limit, but_not=self._skipped_rows())
        locked += [row.id for row in ended]
        items = [
            Item(scope=Scope(provider=esim.provider), updates=(expiry_of(esim),), esim_ids=(esim.id,))
            for esim in ended
            if isinstance(esim, Esim)
        ]
        applied = await apply_batch(db, items, self._policy) if ended else None
        return applied and replace(applied, unreadable=tuple(row.id for row in ended if not isinstance(row, Esim)))

    async def _emit_pending_usage(self, db: Session, limit: int, locked: list[UUID]) -> BatchResult | None:
        locked += await esims.lock_with_pending_usage(db, limit=limit, but_not=self._skipped_rows())
        return await emit_pending(db, locked, self._policy) if locked else None

    async def _process(self, loop: str, work: Work) -> float:
        """Do the work for the eSIMs that are due, together; where that fails, one by one, and pass by the one that breaks."""
        locked: list[UUID] = []

        async def commit(limit: int) -> None:
            locked.clear()
            async with self._database.transaction() as db:
                applied = await work(db, limit, locked)
            if applied is not None:
                self._pass_by(applied.unreadable, for_s=float("inf"))
                self._wakes.notify(applied)

        for limit in (EXPIRY_BATCH, *[1] * EXPIRY_BATCH):
            failed = await for_each(loop, [limit], commit, row_id=lambda limit: f"{limit} at once")
            if failed and (not locked or is_database_away(failed[0].error)):
                raise failed[0].error
            if failed and limit == 1:
                self._pass_by(locked, for_s=PASSED_BY_S)
            if not failed and len(locked) < limit:
                return IDLE_S
            if not failed and limit == EXPIRY_BATCH:
                break
        return 0.0

    def _pass_by(self, esim_ids: Sequence[UUID], *, for_s: float) -> None:
        """Leave out rows that break, or (until the next start) do not decrypt, so that they delay no other."""
        for esim_id in esim_ids:
            log.error("esim.passed_by", esim_id=text_of(Prefix.ESIM, esim_id), for_s=for_s)
            self._passed_by[esim_id] = monotonic() + for_s

    def _skipped_rows(self) -> Collection[UUID]:
        """Return the rows that are passed by at present."""
        now = monotonic()
        self._passed_by = {esim_id: until for esim_id, until in self._passed_by.items() if until > now}
        return self._passed_by.keys()

    async def poll_usage(self) -> float:
        """Ask providers for the usage of active eSIMs that are due, as many in one query as each allows."""
        if not self._providers_reviewed:
            await self._clients.review()
            self._providers_reviewed = True
        async with self._database.transaction() as db:
            due, more = await polls.claim(db, interval_s=self._poll_interval_s, limit=POLL_BATCH)
        by_provider: dict[str, list[DuePoll]] = defaultdict(list)
        for poll in due:
            by_provider[poll.provider].append(poll)
        failed = await for_each(
            "usage polls",
            by_provider.items(),
            lambda one: self._poll_provider(*one),
            row_id=lambda one: one[0],
            max_concurrent=MAX_PROVIDERS,
        )
        for one in failed:
            await self._poll_again([poll.esim_id for poll in one.row[1]])
        return 0.0 if more else 5.0

    async def _poll_provider(self, name: str, due: Sequence[DuePoll]) -> None:
        client = await self._clients.find(name)
        if client is None or not client.provider.can_fetch:
            return
        size = client.provider.usage_batch
        due = [*due, *await self._soonest(name, room=-len(due) % size)]
        for first in range(0, len(due), size):
            queried = due[first : first + size]
            try:
                updates = await client.provider.usage([poll.esim_tran_no for poll in queried])
            except (NotNow, ProviderRefused) as error:
                log.warning("usage.poll_failed", provider=name, error=error, esims=len(queried))
                await self._poll_again([poll.esim_id for poll in due[first:]])
                return
            await self._apply([Item(scope=Scope(provider=name), updates=(one,)) for one in updates])

    async def _apply(self, items: Sequence[Item]) -> None:
        """Apply what was polled together; where that fails, one by one. Raises `NotNow`."""

        async def apply(part: Sequence[Item]) -> None:
            async with self._database.transaction() as db:
                applied = await apply_batch(db, part, self._policy)
            self._wakes.notify(applied)

        failed = await for_each("usage polls", [items], apply, row_id=lambda part: f"{len(part)} at once")
        if failed and is_database_away(failed[0].error):
            raise failed[0].error
        if failed:
            alone = [[item] for item in items]
            await for_each("usage polls", alone, apply, row_id=lambda part: part[0].updates[0].identity.esim_tran_no)

    async def _poll_again(self, esim_ids: Sequence[UUID]) -> None:
        async with self._database.session() as db:
            await polls.postpone(db, esim_ids, seconds=FAILED_POLL_RETRY_S)

    async def _soonest(self, name: str, *, room: int) -> Sequence[DuePoll]:
        """What fills the last query: a few eSIMs that come due one by one would otherwise be queried one by one."""
        if room == 0:
            return ()
        async with self._database.transaction() as db:
            return await polls.claim_soonest(db, name, interval_s=self._poll_interval_s, limit=room)

    async def poll_orders(self) -> float:
        """Ask for orders that stay pending; their notifications may never come."""
        async with self._database.session() as db:
            due = await orders.claim_polls(db, retry_in_s=ORDER_CLAIM_S, limit=ORDERS_PER_PROVIDER)
        await for_each(
            "order polls", due, self._poll_order, row_id=lambda order: order.id, max_concurrent=MAX_PROVIDERS
        )
        return 0.0 if due else IDLE_S

    async def _poll_order(self, order: Order) -> None:
        try:
            await self._fetch_order(order)
        except NotNow as error:
            log.info("order.still_pending", provider=order.provider, polls=order.polls, reason=error.detail)
        except ProviderRefused as error:
            log.warning("order.refused", provider=order.provider, polls=order.polls, reason=error)
        async with self._database.session() as db:
            await orders.poll_again(db, order.id, seconds=poll_delay_s(order.polls))

    async def _fetch_order(self, order: Order) -> None:
        client = await self._clients.find(order.provider)
        if client is None or not client.provider.can_fetch:
            raise ProviderRefused("it has no credentials")
        if order.esim_id is not None:
            await self._find_top_up(order, order.esim_id, client)
            return
        try:
            fetched = await client.provider.fetch(Lookup(order_no=order.order_no))
        except OrderFailed as error:
            if not has_failed(order, error, now=self._clock()):
                raise
            async with self._database.transaction() as db:
                applied = await fail(db, order, str(error), self._policy)
        else:
            snapshots = [replace(snapshot, cause=Cause.ORDER_POLL) for snapshot in fetched]
            async with self._database.transaction() as db:
                applied = await fill(db, order, snapshots, self._policy)
        self._wakes.notify(applied)

    async def _find_top_up(self, order: Order, esim_id: UUID, client: ProviderClient) -> None:
        """Ask for an eSIM until the volume that was ordered for it is there, or for as long as that is likely."""
        async with self._database.session() as db:
            esim = await esims.find(db, order.tenant, esim_id)
        waits = esim is not None and any(
            one.transaction_id == order.transaction_id for one in esim.further.open_top_ups
        )
        if esim is None or not waits or esim.esim_tran_no is None or order.polls > TOP_UP_POLLS:
            async with self._database.session() as db:
                await orders.end_polling(db, order.id)
            return
        fetched = await client.provider.fetch(Lookup(esim_tran_no=esim.esim_tran_no))
        snapshots = [replace(one, cause=Cause.ORDER_POLL) for one in fetched]
        items = [Item(scope=Scope(provider=order.provider), updates=(one,), esim_ids=(esim.id,)) for one in snapshots]
        async with self._database.transaction() as db:
            applied = await apply_batch(db, items, self._policy)
        self._wakes.notify(applied)

    async def report_doubts(self) -> float:
        """Notify the operator, once for each word and member, what providers sent that was not understood."""
        async with self._database.transaction() as db:
            doubts = await provider_troubles.claim_doubts(db, limit=BATCH)
            reported = await operational.emit_doubts(db, doubts, now=self._clock())
        if reported:
            self._wakes.due.notify()
        return 0.0 if len(doubts) == BATCH else 60.0

    async def report_health(self) -> float:
        """Emit `endpoint.failing` for endpoints that have failed for a while, `endpoint.recovered` once they work again."""
        async with self._database.transaction() as db:
            alerts = await health.claim_alerts(db, limit=ALERT_BATCH)
            reported = await operational.emit(db, alerts, now=self._clock())
        operational.report(alerts)
        if reported:
            self._wakes.due.notify()
        return 0.0 if len(alerts) == ALERT_BATCH else 10.0

    async def report_troubles(self) -> float:
        """Notify the operator of providers that are silent, refuse the credentials, or say that the balance is low."""
        async with self._database.transaction() as db:
            troubles = await provider_troubles.claim(db, limit=BATCH)
            reported = await operational.emit_troubles(db, troubles, now=self._clock())
        if reported:
            self._wakes.due.notify()
        return TROUBLES_S

    async def check_for_silence(self) -> float:
        """Write down which providers have been silent for far longer than usual."""
        async with self._database.transaction() as db:
            facts = await provider_health.facts(db)
            silent = {one.name: one.last_at for one in facts if one.last_at and is_silent(one, now=self._clock())}
            await provider_troubles.write_silence(db, silent)
        return SILENCE_S

    async def make_partitions(self) -> float:
        """Make the partitions of the coming days; those whose table is in use by a long transaction are tried again."""
        missing = await ensure_partitions(self._database, now=self._clock())
        if missing:
            log.info("partitions.in_use", missing=missing, again_in_s=PARTITIONS_RETRY_S)
        return PARTITIONS_RETRY_S if missing else 3600.0

    async def fail_overdue(self) -> float:
        """Fail what has waited for far longer than its schedule."""
        async with self._database.transaction() as db:
            failed = await queue.fail_overdue(
                db, now=self._clock(), limit=OVERDUE_BATCH, retention=self._history_retention
            )
            emitted = await operational.emit(db, failed, now=self._clock())
        operational.report(failed)
        if emitted:
            self._wakes.due.notify()
        return 0.0 if len(failed) == OVERDUE_BATCH else 60.0

    async def clean_up(self) -> float:
        """Delete notifications seen long ago; correct what two transactions could not see of each other.

        That is deliveries made while their endpoint was deleted or gave up the order of its eSIMs, and notifications that
        came in beside their eSIM.
        """
        now = self._clock()
        async with self._database.transaction() as db:
            await fifo.end_stale(db)
            await endpoints.cancel_orphans(db, now=now)
            more = await journal.wake_missed(db, since=self._missed_since, limit=MISSED_BATCH)
            await idempotency.delete_before(db, before=now - idempotency.RETENTION)
            deleted = await journal.delete_seen(db, before=now - SEEN_FOR, limit=BATCH)
        # From the start on, or from the last round: nobody may have looked for long.
        self._missed_since = more or first_id_of(now - MISSED_WITHIN)
        return 0.0 if more or deleted == BATCH else 30.0


EVERY_S = 10.0
"""Counting a long queue costs the database milliseconds, so that metrics are read from memory."""


class QueueMetrics:
    """One round of a loop."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._providers: frozenset[str] = frozenset()

    async def refresh(self) -> float:
        """Refresh the metrics of the queue; returns the seconds until the next round."""
        async with self._database.session() as db:
            stats = await lanes.queue_stats(db)
            states = await health.states(db)
            providers = await provider_health.facts(db)
        self._show_providers(providers)
        metrics.endpoint_states({state.value: number for state, number in states.items()})
        metrics.set_queue(stats, at=self._clock().timestamp())
        return EVERY_S

    def _show_providers(self, providers: Sequence[ProviderFacts]) -> None:
        states: dict[str, str | None] = dict.fromkeys(self._providers)
        for one in providers:
            states[one.name] = provider_health_of(one, now=self._clock()).state.value
        metrics.provider_states(states, known=[state.value for state in ProviderState])
        self._providers = frozenset(one.name for one in providers)
