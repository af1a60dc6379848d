"""Requery of many eSIMs: all that fit a filter are read anew from their providers, in the background.

A request is counted and stored; a loop of the scheduler asks for one eSIM after the other and writes each answer and
how far it is in one transaction. A process that dies loses no eSIM and tells none twice. No transaction is open while a
provider is asked.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import structs

from esimhooks.server.domain.audit import Action, ChangedField
from esimhooks.server.domain.backoff import while_down
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.domain.esim import Esim, EsimFilter
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.requery import BulkRequery
from esimhooks.server.ingest.absorb import Entry, absorb
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.manage.queries import Window, found
from esimhooks.server.observe.log import get_logger
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import accounts, requeries
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Database

STEP = 5
"""eSIMs that one requery may ask for before the next has its turn."""
HELD_S = 60.0
"""How long a node may take for one eSIM before another goes on: longer than providers are waited for."""
LOOK_EVERY_S = 2.0
MOST_WAITS = 6
"""How often in a row a provider is waited for, two minutes in all; after that each eSIM it is silent about has failed."""
ENDED = "ended by a person"

log = get_logger("requery")


class _Overtaken(Exception):
    """The requery was ended, or another node went on with it: what was read must not count."""


class BulkRequeries:
    """Counts, stores, shows and works off. `begun` is rung for a new one, `due` where deliveries came of it."""

    def __init__(
        self, database: Database, requery: Requery, *, policy: EmitPolicy, clock: Clock, begun: Wake, due: Wake
    ) -> None:
        self._database = database
        self._requery = requery
        self._policy = policy
        self._clock = clock
        self._begun = begun
        self._due = due

    async def count(self, tenant: Tenant, where: EsimFilter) -> int:
        """Return how many eSIMs would be asked for: those that a provider has allocated."""
        async with self._database.session() as db:
            return await requeries.count(db, tenant, where, last_esim=new_id())

    async def begin(self, tenant: Tenant, where: EsimFilter) -> BulkRequery:
        """Store a requery, which is then worked off. Raises `Refused` (404, or 409 while the tenant has one)."""
        last = new_id()
        async with self._database.transaction() as db:
            found(await accounts.find(db, tenant.account_id), "account")
            requery = BulkRequery(
                id=new_id(),
                tenant=tenant,
                where=where,
                last_esim=last,
                matched=await requeries.count(db, tenant, where, last_esim=last),
                created_at=self._clock(),
            )
            if not await requeries.insert(db, requery):
                raise Refused.conflict("a requery of this account and mode is under way: wait for it, or cancel it")
            asked = {name: ChangedField(None, value) for name, value in _named(where).items()}
            await note(db, Action.REQUERY_BEGIN, text_of(Prefix.REQUERY, requery.id), whose=tenant, changes=asked)
        self._begun.ring()
        return requery

    async def cancel(self, tenant: Tenant, requery_id: UUID) -> BulkRequery:
        """End a requery where it is. Raises `Refused` (404, or 409 where it is finished)."""
        async with self._database.transaction() as db:
            before = found(await requeries.find(db, tenant, requery_id), "requery")
            if not await requeries.end(db, tenant, requery_id, problem=ENDED, now=self._clock()):
                raise Refused.conflict("the requery is finished: there is nothing to cancel")
            await note(db, Action.REQUERY_CANCEL, text_of(Prefix.REQUERY, before.id), whose=tenant)
            return found(await requeries.find(db, tenant, requery_id), "requery")

    async def find(self, tenant: Tenant, requery_id: UUID) -> BulkRequery:
        """Return how far a requery is. Raises `Refused` (404)."""
        async with self._database.session() as db:
            return found(await requeries.find(db, tenant, requery_id), "requery")

    async def page(self, tenant: Tenant, window: Window) -> Sequence[BulkRequery]:
        """Return requeries."""
        async with self._database.session() as db:
            return await requeries.page(db, tenant, before=window.before, limit=window.limit)

    async def work_off(self) -> float:
        """A few eSIMs of the requery that has waited longest; the work of a loop. Returns the seconds until the next."""
        async with self._database.transaction() as db:
            present = await requeries.take_next(db, for_s=HELD_S)
            if present is None:
                return LOOK_EVERY_S
            rows = await requeries.next_esims(db, present, limit=STEP + 1)
        try:
            if not rows:
                await self._advance(present, structs.replace(present, finished_at=self._clock()))
            for place, esim in enumerate(rows[:STEP], 1):
                ends = self._clock() if place == len(rows) else None
                after = await self._read(present, esim, finished_at=ends, again_in_s=0.0 if place == STEP else HELD_S)
                if after.reached != esim.id:  # the provider is waited for
                    break
                present = after
        except _Overtaken:
            log.info("requery.overtaken", requery=str(present.id))
        return 0.0

    async def _read(
        self, before: BulkRequery, esim: Esim, *, finished_at: datetime | None, again_in_s: float
    ) -> BulkRequery:
        """Read one eSIM anew and write what came of it. Raises `_Overtaken`."""
        read = structs.replace(before, reached=esim.id, done=before.done + 1, finished_at=finished_at)
        try:
            entry = await self._requery.ask(esim)
        except NotNow as error:
            if before.waits < MOST_WAITS:
                waits = before.waits + 1
                waiting = structs.replace(before, waits=waits, problem=error.detail)
                return await self._advance(before, waiting, again_in_s=while_down(waits, asked_s=error.retry_after_s))
            failed = structs.replace(read, failed=before.failed + 1, problem=error.detail)
            return await self._advance(before, failed, again_in_s=again_in_s)
        except Refused as error:
            failed = structs.replace(read, failed=before.failed + 1, problem=error.detail, waits=0)
            return await self._advance(before, failed, again_in_s=again_in_s)
        # That it was waited for is no problem any more; why others failed still is.
        well = structs.replace(read, waits=0, problem=before.problem if before.failed else None)
        return await self._advance(before, well, entry, again_in_s=again_in_s)

    async def _advance(
        self, before: BulkRequery, after: BulkRequery, entry: Entry | None = None, *, again_in_s: float = 0.0
    ) -> BulkRequery:
        """Write what was read of an eSIM together with how far the requery is. Raises `_Overtaken`."""
        async with self._database.transaction() as db:
            if entry is not None:
                [absorbed] = await absorb(db, [entry], self._policy, now=entry.received_at)
                if absorbed.outcome is UpdateOutcome.APPLIED:
                    after = structs.replace(after, changed=before.changed + 1)
            if not await requeries.advance(db, before, after, again_in_s=again_in_s):
                raise _Overtaken
        if entry is not None:
            self._due.ring()
        if after.finished_at is not None:
            log.info("requery.finished", requery=str(after.id), done=after.done, failed=after.failed)
        return after


def _named(where: EsimFilter) -> dict[str, object]:
    named: dict[str, object] = {
        "status": where.status,
        "iccid": where.iccid,
        "transactionId": where.transaction_id,
        "orderNo": where.order_no,
    }
    return {name: value for name, value in named.items() if value is not None}
