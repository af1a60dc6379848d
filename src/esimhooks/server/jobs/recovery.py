"""Recovery: all that did not arrive at an endpoint is sent again, also what was raised while it was switched off.

A request is counted and stored; a loop of the scheduler works it off in steps, each one transaction that also writes
how far it is. A process that dies loses no step and repeats none.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct, structs

from esimhooks.server.domain.audit import Action, ChangedField
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.endpoint import Endpoint, Ordering, Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import event_type_of
from esimhooks.server.domain.ids import Prefix, first_id_of, new_id, text_of
from esimhooks.server.domain.recovery import Candidates, Missed, Recovery
from esimhooks.server.domain.subscription import wants
from esimhooks.server.manage.queries import found
from esimhooks.server.observe.log import get_logger
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import deliveries, endpoints, queue, recoveries
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.recoveries import Candidate
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.timestamps import timestamp

STEP = 500
LOOK_EVERY_S = 2.0

log = get_logger("recovery")


class Asked(Struct, frozen=True, kw_only=True):
    """What to send again: events raised from `start` to before `end` (aware UTC) with one of the statuses."""

    start: datetime
    end: datetime
    statuses: tuple[Missed, ...]


class Recoveries:
    """Counts, stores, shows and works off. `begun` is rung for a new recovery, `due` for deliveries."""

    def __init__(self, database: Database, *, clock: Clock, begun: Wake, due: Wake) -> None:
        self._database = database
        self._clock = clock
        self._begun = begun
        self._due = due

    async def count(self, tenant: Tenant, endpoint_id: UUID, asked: Asked) -> Candidates:
        """Return what there is to send again, without sending it. Raises `Refused` (404)."""
        async with self._database.snapshot() as db:
            endpoint = found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
            return await _count(db, endpoint, asked)

    async def begin(self, tenant: Tenant, endpoint_id: UUID, asked: Asked) -> Recovery:
        """Store a recovery, which is then worked off. Raises `Refused` (404, or 409 for a disabled endpoint)."""
        async with self._database.transaction() as db:
            endpoint = found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
            if not endpoint.enabled:
                raise Refused.conflict("the endpoint is disabled: enable it first")
            candidates = await _count(db, endpoint, asked)
            recovery = Recovery(
                id=new_id(),
                tenant=tenant,
                endpoint_id=endpoint_id,
                first_event=first_id_of(asked.start),
                last_event=first_id_of(asked.end),
                statuses=asked.statuses,
                total=candidates.of(asked.statuses),
                created_at=self._clock(),
            )
            await recoveries.insert(db, recovery)
            await note(
                db,
                Action.ENDPOINT_RECOVER,
                text_of(Prefix.ENDPOINT, endpoint_id),
                whose=tenant,
                changes={
                    "recovery": ChangedField(None, text_of(Prefix.RECOVERY, recovery.id)),
                    "from": ChangedField(None, timestamp(asked.start)),
                    "to": ChangedField(None, timestamp(asked.end)),
                    "statuses": ChangedField(None, asked.statuses),
                },
            )
        self._begun.ring()
        return recovery

    async def find(self, tenant: Tenant, endpoint_id: UUID, recovery_id: UUID) -> Recovery:
        """Return how far a recovery is. Raises `Refused` (404)."""
        async with self._database.session() as db:
            return found(await recoveries.find(db, tenant, endpoint_id, recovery_id), "recovery")

    async def latest(self, tenant: Tenant, endpoint_id: UUID, *, limit: int) -> Sequence[Recovery]:
        """Return the newest recoveries of an endpoint."""
        async with self._database.session() as db:
            return await recoveries.latest(db, tenant, endpoint_id, limit=limit)

    async def work_off(self) -> float:
        """One step of the oldest recovery; the work of a loop. Returns the seconds until the next."""
        async with self._database.transaction() as db:
            recovery = await recoveries.lock_next(db)
            if recovery is None:
                return LOOK_EVERY_S
            endpoint = await endpoints.find_to_change(db, recovery.tenant, recovery.endpoint_id)
            assert endpoint is not None  # noqa: S101 - it is locked with its recovery
            seen = await recoveries.next_candidates(db, recovery, limit=STEP)
            sent = await _send(db, endpoint, recovery, seen)
            after = structs.replace(
                recovery,
                reached=seen[-1].event_id if seen else recovery.reached,
                seen=recovery.seen + len(seen),
                sent=recovery.sent + sent,
                finished_at=self._clock() if len(seen) < STEP else None,
            )
            await recoveries.advance(db, after)
        if sent:
            self._due.ring()
        if after.finished_at is not None:
            log.info("recovery.finished", recovery=str(after.id), seen=after.seen, sent=after.sent)
        return 0.0


async def _count(db: Session, endpoint: Endpoint, asked: Asked) -> Candidates:
    return await recoveries.count(
        db,
        endpoint.tenant,
        endpoint.id,
        types=[one.value for one in EventType if wants(endpoint.event_types, one)],
        first=first_id_of(asked.start),
        last=first_id_of(asked.end),
    )


async def _send(db: Session, endpoint: Endpoint, recovery: Recovery, seen: Sequence[Candidate]) -> int:
    """Put what is wanted of these events into the endpoint's lane, in their order; return how many."""
    ended = [one.delivery_id for one in seen if one.delivery_id is not None and one.status in recovery.statuses]
    new = [_delivery(endpoint, one) for one in seen if _missing(endpoint, recovery, one)]
    if not ended and not new:
        return 0
    again = await recoveries.reopen(db, endpoint, ended)
    await deliveries.insert(db, new)
    await queue.enqueue(db, sorted([*again, *new], key=lambda one: one.event_id))
    return len(again) + len(new)


def _missing(endpoint: Endpoint, recovery: Recovery, one: Candidate) -> bool:
    never = one.delivery_id is None and Missed.NEVER in recovery.statuses
    return never and wants(endpoint.event_types, event_type_of(one.type))


def _delivery(endpoint: Endpoint, one: Candidate) -> Delivery:
    return Delivery(
        id=new_id(),
        tenant=endpoint.tenant,
        event_id=one.event_id,
        event_type=event_type_of(one.type),
        esim_id=one.esim_id,
        endpoint_id=endpoint.id,
        ordered=endpoint.ordering is Ordering.ESIM and one.esim_id is not None,
    )
