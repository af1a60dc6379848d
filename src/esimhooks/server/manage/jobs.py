"""Background jobs as people meet them: what there is to do is counted, a job is begun, watched and cancelled.

What a job then does is in `jobs/background.py`.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.audit import Action, ChangedField
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.endpoint_rules import wants
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.ids import Prefix, first_id_of, new_id, text_of
from esimhooks.server.domain.job import Filter, Job, Missed, MissedCount, RecoveryFilter, RequeryFilter
from esimhooks.server.manage.queries import Window, found
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import accounts, endpoints, jobs
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.endpoints import Subscription
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.timestamps import timestamp

CANCELLED = "ended by a person"
CANCEL = {
    RecoveryFilter.kind: (Prefix.RECOVERY, Action.RECOVERY_CANCEL),
    RequeryFilter.kind: (Prefix.REQUERY, Action.REQUERY_CANCEL),
}


class MissedEvents(Struct, frozen=True, kw_only=True):
    """What to send again: events raised from `start` to before `end` (aware UTC) with one of the statuses."""

    start: datetime
    end: datetime
    statuses: tuple[Missed, ...]


class Jobs:
    """Counts, begins, shows and cancels background jobs. `begun` is notified for a new one."""

    def __init__(self, database: Database, *, clock: Clock, begun: Wake) -> None:
        self._database = database
        self._clock = clock
        self._begun = begun

    async def count_missed(self, tenant: Tenant, endpoint_id: UUID, missed: MissedEvents) -> MissedCount:
        """Return what there is to send again, without sending it. Raises `Refused` (404)."""
        async with self._database.snapshot() as db:
            endpoint = found(await endpoints.subscription(db, tenant, endpoint_id), "endpoint")
            return await _count_missed(db, tenant, endpoint, missed)

    async def begin_recovery(self, tenant: Tenant, endpoint_id: UUID, missed: MissedEvents) -> Job[RecoveryFilter]:
        """Store a recovery, which is then worked off. Raises `Refused` (404, or 409 for a disabled endpoint)."""
        async with self._database.transaction() as db:
            endpoint = found(await endpoints.subscription(db, tenant, endpoint_id), "endpoint")
            if not endpoint.enabled:
                raise Refused.conflict("the endpoint is disabled: enable it first")
            counted = await _count_missed(db, tenant, endpoint, missed)
            job = Job(
                id=new_id(),
                tenant=tenant,
                endpoint_id=endpoint_id,
                filter=RecoveryFilter(
                    first_event=first_id_of(missed.start),
                    last_event=first_id_of(missed.end),
                    statuses=missed.statuses,
                ),
                total=counted.of(missed.statuses),
                created_at=self._clock(),
            )
            await jobs.insert(db, job)
            changes = {
                "recovery": ChangedField(None, text_of(Prefix.RECOVERY, job.id)),
                "from": ChangedField(None, timestamp(missed.start)),
                "to": ChangedField(None, timestamp(missed.end)),
                "statuses": ChangedField(None, missed.statuses),
            }
            subject = text_of(Prefix.ENDPOINT, endpoint_id)
            await note(db, Action.ENDPOINT_RECOVER, subject, whose=tenant, changes=changes)
        self._begun.notify()
        return job

    async def count_esims(self, tenant: Tenant, where: EsimFilter) -> int:
        """Return how many eSIMs would be asked for: those that a provider has allocated."""
        async with self._database.session() as db:
            return await jobs.count_esims(db, tenant, where, last_esim=new_id())

    async def begin_requery(self, tenant: Tenant, where: EsimFilter) -> Job[RequeryFilter]:
        """Store a requery, which is then worked off. Raises `Refused` (404, or 409 while the tenant has one)."""
        last_esim = new_id()
        async with self._database.transaction() as db:
            found(await accounts.find(db, tenant.account_id), "account")
            job = Job(
                id=new_id(),
                tenant=tenant,
                filter=RequeryFilter(where=where, last_esim=last_esim),
                total=await jobs.count_esims(db, tenant, where, last_esim=last_esim),
                created_at=self._clock(),
            )
            if not await jobs.insert(db, job):
                raise Refused.conflict("a requery of this account and mode is under way: wait for it, or cancel it")
            changes = {name: ChangedField(None, value) for name, value in _named(where).items()}
            await note(db, Action.REQUERY_BEGIN, text_of(Prefix.REQUERY, job.id), whose=tenant, changes=changes)
        self._begun.notify()
        return job

    async def cancel(
        self, tenant: Tenant, kind: type[Filter], job_id: UUID, *, endpoint_id: UUID | None = None
    ) -> Job[Filter]:
        """End a job where it is. Raises `Refused` (404, or 409 where it is finished)."""
        prefix, action = CANCEL[kind.kind]
        async with self._database.transaction() as db:
            found(await jobs.find(db, tenant, kind, job_id, endpoint_id=endpoint_id), kind.kind)
            if not await jobs.end(db, tenant, job_id, problem=CANCELLED, now=self._clock()):
                raise Refused.conflict(f"the {kind.kind} is finished: there is nothing to cancel")
            await note(db, action, text_of(prefix, job_id), whose=tenant)
            return found(await jobs.find(db, tenant, kind, job_id), kind.kind)

    async def find(
        self, tenant: Tenant, kind: type[Filter], job_id: UUID, *, endpoint_id: UUID | None = None
    ) -> Job[Filter]:
        """Return how far a job of that kind is, and of that endpoint where one is named. Raises `Refused` (404)."""
        async with self._database.session() as db:
            return found(await jobs.find(db, tenant, kind, job_id, endpoint_id=endpoint_id), kind.kind)

    async def page(
        self, tenant: Tenant, kind: type[Filter], window: Window, *, endpoint_id: UUID | None = None
    ) -> Sequence[Job[Filter]]:
        """Return jobs of that kind, newest first."""
        async with self._database.session() as db:
            return await jobs.page(db, tenant, kind, endpoint_id=endpoint_id, before=window.before, limit=window.limit)


async def _count_missed(db: Session, tenant: Tenant, endpoint: Subscription, missed: MissedEvents) -> MissedCount:
    return await jobs.count_missed(
        db,
        tenant,
        endpoint.endpoint_id,
        types=[one.value for one in EventType if wants(endpoint.event_types, one)],
        first=first_id_of(missed.start),
        last=first_id_of(missed.end),
    )


def _named(where: EsimFilter) -> dict[str, object]:
    named: dict[str, object] = {
        "status": where.status,
        "iccid": where.iccid,
        "transactionId": where.transaction_id,
        "orderNo": where.order_no,
    }
    return {name: value for name, value in named.items() if value is not None}
