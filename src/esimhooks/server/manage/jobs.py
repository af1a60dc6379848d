"""Background jobs as people meet them: what there is to do is counted, a job is begun, watched and cancelled.

What a job then does is in `jobs/background.py`.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.audit import Action, Actor, ChangedField
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.endpoint_rules import EventBody, is_subscribed
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.ids import Prefix, first_id_of, new_id, text_of
from esimhooks.server.domain.job import Filter, Job, Missed, MissedCount, RecoveryFilter, RequeryFilter
from esimhooks.server.domain.lists import found
from esimhooks.server.manage.accounts import require_recovery
from esimhooks.server.store import accounts, events, jobs, subscriptions
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session
from esimhooks.server.store.subscriptions import Subscription
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.timestamps import timestamp

CANCELLED = "ended by a person"
MAX_FILTERED, FILTER_BATCH = 2000, 200
"""How many of the newest unsent events a count tries on the endpoint's filter; all others count as wanted."""
CANCEL = {RecoveryFilter.kind: Action.RECOVERY_CANCEL, RequeryFilter.kind: Action.REQUERY_CANCEL}


class MissedEvents(Struct, frozen=True, kw_only=True):
    """What to send again: events raised from `start` to before `end` (aware UTC) with one of the statuses."""

    start: datetime
    end: datetime
    statuses: tuple[Missed, ...]


async def count_missed(db: Session, tenant: Tenant, endpoint_id: UUID, missed: MissedEvents) -> MissedCount:
    """Return what there is to send again, without sending it. Raises `Refused` (404)."""
    async with db.snapshot():
        endpoint = found(await subscriptions.find(db, tenant, endpoint_id), "endpoint")
        return await _count_missed(db, tenant, endpoint, missed)


async def begin_recovery(
    db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID, missed: MissedEvents, *, now: datetime
) -> Job[RecoveryFilter]:
    """Store a recovery, which is then processed. Raises `Refused` (404, or 409 for a disabled endpoint or over quota)."""
    await require_recovery(db, tenant, endpoint_id)
    endpoint = found(await subscriptions.find(db, tenant, endpoint_id), "endpoint")
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
        created_at=now,
    )
    await jobs.insert(db, job)
    changes = {
        "recovery": ChangedField(None, text_of(Prefix.RECOVERY, job.id)),
        "from": ChangedField(None, timestamp(missed.start)),
        "to": ChangedField(None, timestamp(missed.end)),
        "statuses": ChangedField(None, missed.statuses),
    }
    await record_action(db, actor, Action.ENDPOINT_RECOVER, endpoint_id, owner=tenant, changes=changes)
    return job


async def count_esims(db: Session, tenant: Tenant, where: EsimFilter) -> int:
    """Return how many eSIMs would be refreshed: those that a provider has allocated."""
    return await jobs.count_esims(db, tenant, where, last_esim=new_id())


async def begin_requery(
    db: Session, actor: Actor, tenant: Tenant, where: EsimFilter, *, now: datetime
) -> Job[RequeryFilter]:
    """Store a requery, which is then processed. Raises `Refused` (404, or 409 while the tenant has one)."""
    last_esim = new_id()
    found(await accounts.find(db, tenant.account_id), "account")
    job = Job(
        id=new_id(),
        tenant=tenant,
        filter=RequeryFilter(where=where, last_esim=last_esim),
        total=await jobs.count_esims(db, tenant, where, last_esim=last_esim),
        created_at=now,
    )
    if not await jobs.insert(db, job):
        raise Refused.conflict("this account and mode already has a requery running: wait for it, or cancel it")
    changes = {name: ChangedField(None, value) for name, value in _criteria_of(where).items()}
    await record_action(db, actor, Action.REQUERY_BEGIN, job.id, owner=tenant, changes=changes)
    return job


async def cancel_job(db: Session, actor: Actor, job: Job[Filter], *, now: datetime) -> Job[Filter]:
    """End a job where it is. Raises `Refused` (404, or 409 where it is finished)."""
    kind, tenant = type(job.filter), job.tenant
    if not await jobs.end(db, tenant, job.id, problem=CANCELLED, now=now):
        raise Refused.conflict(f"the {kind.kind} is finished: there is nothing to cancel")
    await record_action(db, actor, CANCEL[kind.kind], job.id, owner=tenant)
    return found(await jobs.find(db, tenant, kind, job.id), kind.kind)


async def find_job(
    db: Session, tenant: Tenant, kind: type[Filter], job_id: UUID, *, endpoint_id: UUID | None = None
) -> Job[Filter]:
    """Return how far a job of that kind is, and of that endpoint where one is named. Raises `Refused` (404)."""
    return found(await jobs.find(db, tenant, kind, job_id, endpoint_id=endpoint_id), kind.kind)


async def _count_missed(db: Session, tenant: Tenant, endpoint: Subscription, missed: MissedEvents) -> MissedCount:
    types = [one.value for one in EventType if is_subscribed(endpoint.event_types, one)]
    first, last = first_id_of(missed.start), first_id_of(missed.end)
    counted = await jobs.count_missed(db, tenant, endpoint.endpoint_id, types=types, first=first, last=last)
    if endpoint.filter is None or not counted.by_status.get(Missed.NEVER):
        return counted
    never = await jobs.never_sent(
        db, tenant, endpoint.endpoint_id, types=types, first=first, last=last, limit=MAX_FILTERED
    )
    unwanted = await _count_unwanted(db, never, endpoint.filter)
    return MissedCount({**counted.by_status, Missed.NEVER: counted.by_status[Missed.NEVER] - unwanted})


async def _count_unwanted(db: Session, event_ids: Sequence[UUID], event_filter: str) -> int:
    """Return how many of these events an endpoint with the filter does not get."""
    unwanted = 0
    for first in range(0, len(event_ids), FILTER_BATCH):
        contents = await events.contents(db, event_ids[first : first + FILTER_BATCH])
        unwanted += sum(not EventBody(one.body).passes(event_filter) for one in contents.values())
    return unwanted


def _criteria_of(where: EsimFilter) -> dict[str, object]:
    named: dict[str, object] = {
        "status": where.status,
        "iccid": where.iccid,
        "transactionId": where.transaction_id,
        "orderNo": where.order_no,
    }
    return {name: value for name, value in named.items() if value is not None}
