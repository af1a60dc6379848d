"""The backlog: journal rows that need their provider's answer, or another look, are processed until done.

Each try parses the journaled bytes again. Those for which no provider is queried are applied in the order in which they came, by
one node at a time. Where the provider must be queried, that is without a transaction, and what it says is taken in with one
that also concludes the row; nothing waits for these queries, so that a provider that is silent delays only itself. A try that
fails is put off; a crash lets it come up again by itself.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.domain.notification import JournalEntry
from esimhooks.server.domain.schedule import allocation_delay_s, outage_delay_s
from esimhooks.server.domain.update import Update
from esimhooks.server.ingest.batch import BatchResult, Item, apply_batch, names_in
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.ingest.operator_updates import read_update
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.ingest.reading import item_from_journal, must_query
from esimhooks.server.jobs.due_work import IDLE_S
from esimhooks.server.jobs.provider_queries import ProviderQueries, conclude
from esimhooks.server.observe.log import get_logger
from esimhooks.server.providers.port import StillAllocating, Unparsable
from esimhooks.server.runtime.for_each import for_each
from esimhooks.server.runtime.loop import run_guarded
from esimhooks.server.store import journal
from esimhooks.server.store.batch_reads import Scope
from esimhooks.server.store.database import Database
from esimhooks.server.store.journal import Waiting

MAX_DUE = 20
"""How many notifications are applied in one transaction."""
MAX_QUERIES = 10
"""How many queries of one provider are in flight at once."""
CLAIM_S = 120.0
"""A claimed row comes up again after this, should its worker have died."""
BEHIND = "an earlier notification of the same eSIM or order waits"
AGAIN = frozenset({UpdateOutcome.UNMATCHED, UpdateOutcome.WAITING})
"""Outcomes of updates that another look may change."""

Query: TypeAlias = Callable[[], Awaitable[None]]


class _Queried(Struct, frozen=True):
    """A notification whose provider, its source, is queried first."""

    waiting: Waiting
    source: str
    query: Query


log = get_logger("backlog")


class Backlog:
    """Works off waiting notifications. `wakes` are notified after each commit."""

    def __init__(
        self, database: Database, clients: ProviderClients, *, policy: EmitPolicy, clock: Clock, wakes: Wakes
    ) -> None:
        self._database = database
        self._clients = clients
        self._policy = policy
        self._wakes = wakes
        self._provider_queries = ProviderQueries(database, policy=policy, clock=clock, wakes=wakes)
        self._under_way: Counter[str] = Counter()
        """How many queries of each provider."""
        self._queries: asyncio.TaskGroup | None = None

    async def run_queries(self) -> float:
        """Own the queries that `process_due` starts; the work of an endless loop."""
        async with asyncio.TaskGroup() as group:
            self._queries = group
            try:
                await asyncio.Event().wait()
            finally:
                self._queries = None
        return 0.0

    async def process_due(self) -> float:
        """Apply what is due in the order in which it came, and start to query providers for the rest; the work of a loop."""
        async with self._database.session() as db:
            due = await journal.due_backlog(db, limit=MAX_DUE, but_not=self._busy_sources())
            entries = await journal.find_all(db, [one.notification_id for one in due])
        round_ = _Round()
        failed = await for_each(
            "backlog",
            due,
            lambda one: self._read(one, entries.get(one.notification_id), round_),
            row_id=lambda one: one.notification_id,
        )
        await self._postpone([(one.row, one.error) for one in failed])
        for one in await self._apply_all(round_):
            self._start(one)
        return 0.0 if len(due) >= MAX_DUE and not round_.is_taken else IDLE_S

    def _busy_sources(self) -> list[str]:
        return [source for source, count in self._under_way.items() if count >= MAX_QUERIES]

    def _within_limits(self, querying: Sequence[_Queried]) -> Sequence[_Queried]:
        """Return those whose queries can be started now; the others stay due."""
        if self._queries is None:
            return ()
        count, chosen = Counter(self._under_way), []
        for one in querying:
            if count[one.source] < MAX_QUERIES:
                count[one.source] += 1
                chosen.append(one)
        return chosen

    def _start(self, one: _Queried) -> None:
        if self._queries is None:  # it ends: the row comes up again
            return
        name = f"query {one.waiting.notification_id}"
        self._under_way[one.source] += 1
        task = self._queries.create_task(run_guarded(name, self._run(one)), name=name)
        task.add_done_callback(lambda _: self._on_ended(one.source))

    def _on_ended(self, source: str) -> None:
        self._under_way[source] -= 1
        if not self._under_way[source]:
            del self._under_way[source]
        self._wakes.backlog.notify()

    async def _run(self, one: _Queried) -> None:
        failed = await for_each(
            "backlog", [one], lambda one: one.query(), row_id=lambda one: one.waiting.notification_id
        )
        await self._postpone([(each.row.waiting, each.error) for each in failed])

    async def _read(self, waiting: Waiting, entry: JournalEntry | Broken | None, round_: "_Round") -> None:
        """Parse a notification again: into what is applied, or what queries its provider first."""
        entry = readable(entry)
        item = await (item_from_journal(entry, self._clients) if waiting.stored_first else self._item_of(entry))
        if isinstance(item, Item):
            round_.ready.append((waiting, item))
        else:
            round_.querying.append(_Queried(waiting, entry.source, item))

    async def _item_of(self, entry: JournalEntry) -> Item | Query:
        if entry.source == journal.UPDATES_SOURCE:
            return await self._operator_item(entry)
        client = await self._clients.find(entry.source)
        if client is None:
            return conclude(entry, UpdateOutcome.UNMATCHED, "the provider was deleted")
        try:
            notification = client.provider.parse(entry.request)
        except Unparsable as error:
            return conclude(entry, UpdateOutcome.INVALID, str(error))
        if must_query(client, notification, proven=entry.request.proven):
            return lambda: self._provider_queries.query(entry, client, notification)
        if not notification.updates:
            return conclude(entry, UpdateOutcome.IGNORED, None)
        return _again(entry, Scope(provider=entry.source), notification.updates)

    async def _operator_item(self, entry: JournalEntry) -> Item:
        read = await read_update(entry.request.body, self._clients, tenant=entry.tenant)
        if read.update is None:
            return conclude(entry, UpdateOutcome.INVALID, read.wrong or "it is not understood")
        return _again(entry, Scope(tenant=entry.tenant, provider=read.provider), [read.update])

    async def _apply_all(self, round_: "_Round") -> Sequence[_Queried]:
        """Apply what is ready in one transaction, else one by one; return what queries its provider and was claimed by this node."""
        claimed: list[_Queried] = []

        async def apply_all(part: _Round) -> None:
            claimed.extend(await self._apply_in_order(part))

        if not await for_each("backlog", [round_], apply_all, row_id=lambda part: f"{len(part.ready)} at once"):
            return claimed
        blocked: set[str] = set()

        async def apply_one(one: tuple[Waiting, Item]) -> None:
            if is_behind(one[1], blocked):
                raise NotNow(BEHIND)
            try:
                await self._apply_in_order(_Round(ready=[one]))
            except Exception:
                blocked.update(names_in(one[1]))
                raise

        failed = await for_each("backlog", round_.ready, apply_one, row_id=lambda one: one[0].notification_id)
        await self._postpone([(one.row[0], one.error) for one in failed])
        return await self._apply_in_order(_Round(querying=round_.querying))

    async def _apply_in_order(self, round_: "_Round") -> Sequence[_Queried]:
        """Apply what is ready and claim what queries its provider, unless another node processes the backlog.

        Only one node does at a time, so that no notification of an eSIM overtakes another on another node.
        """
        querying = self._within_limits(round_.querying)
        if not round_.ready and not querying:
            return ()
        applied: BatchResult | None = None
        async with self._database.transaction() as db:
            if not await journal.lock_backlog(db):
                round_.is_taken = True
                return ()
            due = [*(one for one, _ in round_.ready), *(one.waiting for one in querying)]
            still = await journal.still_waiting(db, due)
            ready = [one for one in round_.ready if one[0].notification_id in still]
            querying = [one for one in querying if one.waiting.notification_id in still]
            if ready:
                applied = await apply_batch(db, [item for _, item in ready], self._policy)
                for (waiting, _), results in zip(ready, applied.results, strict=True):
                    result = next((one for one in results if one.outcome is UpdateOutcome.WAITING), None)
                    if result is not None:
                        pause_s = outage_delay_s(waiting.tries)
                        await journal.postpone(db, waiting, seconds=pause_s, esim_id=result.esim_id)
            for one in querying:
                await journal.postpone(db, one.waiting, seconds=CLAIM_S)
        if applied is not None:
            self._wakes.notify(applied)
        return querying

    async def _postpone(self, failed: Sequence[tuple[Waiting, Exception]]) -> None:
        """Try them again later, all of them at the same time, so that their order stays."""
        if not failed:
            return
        again_in_s = max(_pause_s(waiting, error) for waiting, error in failed)
        async with self._database.transaction() as db:
            for waiting, error in failed:
                detail = reason_of(error)
                log.info("notification.put_off", tries=waiting.tries, again_in_s=again_in_s, reason=detail)
                await journal.postpone(db, waiting, seconds=again_in_s, detail=detail)


class _Round:
    """What is due: notifications to apply in their order, and those whose provider is queried first.

    `is_taken` says that another node works on it.
    """

    def __init__(self, ready: Sequence[tuple[Waiting, Item]] = (), querying: Sequence[_Queried] = ()) -> None:
        self.ready = list(ready)
        self.querying = list(querying)
        self.is_taken = False


def _again(entry: JournalEntry, scope: Scope, updates: Sequence[Update]) -> Item:
    """Return a journaled notification to be applied; of several updates only those that found no eSIM."""
    indices: tuple[int, ...] = ()
    if len(entry.results) == len(updates):
        indices = tuple(index for index, one in enumerate(entry.results) if one.outcome in AGAIN)
    return Item(
        scope=scope,
        updates=tuple(updates[index] for index in indices or range(len(updates))),
        indices=indices,
        entry=entry,
        journaled=True,
        creates=scope.tenant is not None,
        arrived_at=entry.received_at,
    )


def _pause_s(waiting: Waiting, error: Exception) -> float:
    if isinstance(error, StillAllocating):
        return allocation_delay_s(waiting.tries)
    return outage_delay_s(waiting.tries, requested_s=error.retry_after_s if isinstance(error, NotNow) else 0.0)


def readable(entry: JournalEntry | Broken | None) -> JournalEntry:
    """Return the entry that was read from the journal. Raises `Broken`, and `NotNow` where there is none."""
    if entry is None:
        raise NotNow("the row of the journal is not there")
    if isinstance(entry, Broken):
        raise entry
    return entry


def is_behind(item: Item, blocked: set[str]) -> bool:
    """Whether an item speaks of what is blocked by one that waits; then all that it speaks of is blocked too."""
    names = names_in(item)
    if not names & blocked:
        return False
    blocked |= names
    return True


def reason_of(error: Exception) -> str:
    """Return what the journal says of why a notification is put off."""
    if isinstance(error, NotNow):
        return error.detail
    return "the row cannot be decrypted" if isinstance(error, Broken) else "something broke; see the log"
