"""Lanes with deliveries in a real database, for tests of the lanes and the queue without a node."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.account import Account
from esimhooks.server.domain.breaker import Transition
from esimhooks.server.domain.delivery import Claimed, Delivery, DeliveryStatus, Outcome, OutcomeClass, Verdict
from esimhooks.server.domain.endpoint import Endpoint, Tenant
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.schedule import STANDARD
from esimhooks.server.ingest.fan_out import publish
from esimhooks.server.store import accounts, deliveries, endpoints, lanes, queue, results
from esimhooks.server.store.database import Database
from esimhooks.server.store.lanes import Lease
from esimhooks.server.store.queue import ClaimRequest
from esimhooks.server.store.results import Result
from esimhooks.signing import new_secret
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode

DELIVERED = Verdict(status=DeliveryStatus.DELIVERED)
FAILED = Verdict(status=DeliveryStatus.FAILED)
AGAIN = Verdict(status=DeliveryStatus.PENDING, delay_s=60.0)
NOT_COUNTED = Verdict(status=DeliveryStatus.PENDING, delay_s=5.0, counts=False)
GONE = Verdict(status=DeliveryStatus.STOPPED, endpoint_gone=True)


class Lane(NamedTuple):
    """An endpoint, its tenant and its deliveries, in the order in which they were made."""

    tenant: Tenant
    endpoint_id: UUID
    deliveries: Sequence[Delivery]


class Queued(Struct, frozen=True):
    """What the queue says of a delivery."""

    attempts: int
    attempts_this_round: int
    claims: int
    claim_token: int
    due_in_s: float


async def a_lane(database: Database, *, due: int) -> Lane:
    """Store an endpoint with so many deliveries that are due."""
    now = datetime.now(UTC)
    tenant = Tenant(new_id(), Mode.TEST)
    endpoint = Endpoint(
        id=new_id(),
        tenant=tenant,
        url="http://127.0.0.1:9/hook",
        name=None,
        event_types=None,
        retry_schedule=STANDARD,
        timeout_s=5,
        max_in_flight=20,
        enabled=True,
        disabled_reason=None,
        created_at=now,
        updated_at=now,
    )
    async with database.transaction() as db:
        await accounts.insert(db, Account(id=tenant.account_id, name="Acme", created_at=now, updated_at=now))
        await endpoints.insert(db, endpoint, secret=new_secret())
    return Lane(tenant, endpoint.id, await more_due(database, tenant, due))


def a_delivery(lane: Lane, *, esim_id: UUID | None = None, ordered: bool = False) -> Delivery:
    """Return a delivery of an event of its own to the lane's endpoint, not stored."""
    return Delivery(
        id=new_id(),
        tenant=lane.tenant,
        event_id=new_id(),
        event_type=EventType.CREATED,
        esim_id=esim_id,
        endpoint_id=lane.endpoint_id,
        ordered=ordered,
    )


async def more_due(database: Database, tenant: Tenant, count: int) -> Sequence[Delivery]:
    """Publish so many events of the tenant; return the deliveries."""
    raised = [
        Event(
            id=new_id(),
            tenant=tenant,
            esim_id=None,
            type=EventType.CREATED,
            happened_at=datetime.now(UTC),
            notification_id=None,
            body=b"{}",
        )
        for _ in range(count)
    ]
    async with database.transaction() as db:
        return await publish(db, raised)


async def lease(database: Database, *, holder: UUID | None = None, limit: int = 100) -> Sequence[Lease]:
    """Lease what can be leased, for 30 seconds."""
    async with database.session() as db:
        leased = await lanes.lease(db, holder=holder or new_id(), seconds=30, share_of=1, limit=limit)
    return [one.lease for one in leased]


async def claim(database: Database, leased: Lease, capacity: int = 100) -> Sequence[Claimed]:
    """Claim due deliveries of a leased lane."""
    async with database.session() as db:
        return (await queue.claim(db, [ClaimRequest(leased, capacity)])).claimed


async def write(
    database: Database, claimed: Sequence[Claimed], verdict: Verdict, *, transition: Transition | None = None
) -> set[UUID]:
    """Write one attempt of each, all with the same verdict; return those that counted."""
    async with database.transaction() as db:
        written = await results.write_results(db, [result_of(one, verdict, transition=transition) for one in claimed])
    return {one.delivery_id for one, what in zip(claimed, written, strict=True) if what.stored}


def result_of(claimed: Claimed, verdict: Verdict, *, transition: Transition | None = None) -> Result:
    """Return the result of an attempt that leads to the verdict."""
    kind = {DeliveryStatus.DELIVERED: OutcomeClass.OK, DeliveryStatus.STOPPED: OutcomeClass.GONE}
    other = OutcomeClass.SERVER_ERROR if verdict.counts else OutcomeClass.INTERNAL
    outcome = Outcome(outcome=kind.get(verdict.status, other), started_at=datetime.now(UTC), duration_ms=1)
    return Result(claimed=claimed, outcome=outcome, verdict=verdict, transition=transition)


async def expire(database: Database, *leases: Lease) -> None:
    """Let the time pass until these leases end."""
    async with database.session() as db:
        await db.conn.execute(
            "UPDATE lanes SET leased_until = now() WHERE endpoint_id = ANY($1)", [one.endpoint_id for one in leases]
        )


async def queued(database: Database, delivery_id: UUID) -> Queued | None:
    """Return what the queue says of the delivery, None where it has left the queue."""
    async with database.session() as db:
        row = await db.conn.fetchrow(
            """
            SELECT attempts, attempts_this_round, claims, claim_token, extract(epoch FROM due_at)::float8 - extract(epoch FROM now())::float8
            FROM queue WHERE delivery_id = $1
            """,
            delivery_id,
        )
    return None if row is None else Queued(*row)


async def stored(database: Database, lane: Lane, delivery_id: UUID) -> tuple[DeliveryStatus, int, int]:
    """Return the delivery's status, how many attempts count, and how many are written."""
    async with database.session() as db:
        found = await deliveries.find(db, lane.tenant, delivery_id)
        written = await deliveries.attempts_of(db, lane.tenant, delivery_id)
    assert found is not None
    return found.status, found.attempts, len(written)


async def all_delivered(database: Database) -> bool:
    """Return whether no delivery is in another state."""
    async with database.session() as db:
        return not await db.conn.fetchval("SELECT count(*) FROM deliveries WHERE status <> 'delivered'")
