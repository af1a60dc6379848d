"""Searches of deliveries, events and the journal: going on from page to page finds all that fits, once, in order, and nothing else."""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any, TypeVar
from uuid import UUID

import pytest

from api import Api, a_merchant
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.delivery import Delivery, DeliveryFilter, DeliveryStatus
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.event import Event, EventFilter
from esimhooks.server.domain.ids import Prefix, new_id, parse_id
from esimhooks.server.domain.lists import ScanResult
from esimhooks.server.domain.notification import InboundRequest, JournalEntry, JournalFilter
from esimhooks.server.store import batch_writes, deliveries, events, journal_lists, queue
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode

pytestmark = pytest.mark.slow(reason="goes through hundreds of combinations of filters")
TYPES = (EventType.ACTIVATED, EventType.EXPIRED)
NUMBER, MOST, LIMIT = 120, 17, 4
Row = TypeVar("Row", Event, Delivery, JournalEntry)


def an_event(tenant: Tenant, esim_id: UUID, kind: EventType) -> Event:
    return Event(
        id=new_id(),
        tenant=tenant,
        esim_id=esim_id,
        type=kind,
        happened_at=datetime.now(UTC),
        notification_id=None,
        body=b"{}",
    )


async def two_tenants(operator: Api) -> tuple[list[Tenant], list[tuple[Tenant, UUID]]]:
    """Two tenants that have two endpoints each."""
    tenants, made = [], []
    for mode in Mode:
        merchant = await a_merchant(operator, mode=mode.value)
        tenant = Tenant(parse_id(Prefix.ACCOUNT, merchant.account), mode)
        tenants.append(tenant)
        for path in ("a", "b"):
            body = {"url": f"http://127.0.0.1:9/{path}"}
            row = await operator.post(f"/v1/endpoints?account={merchant.account}&mode={mode.value}", body)
            made.append((tenant, parse_id(Prefix.ENDPOINT, row["id"])))
    return tenants, made


async def a_mixture(database: Database, endpoints: Sequence[tuple[Tenant, UUID]]) -> tuple[list[Event], list[Delivery]]:
    """Store events and deliveries of all kinds; none is due before tomorrow."""
    rng = random.Random(7)
    esims = [new_id() for _ in range(3)]
    raised, sent = [], []
    for _ in range(NUMBER):
        tenant, endpoint = rng.choice(endpoints)
        event = an_event(tenant, rng.choice(esims), rng.choice(TYPES))
        raised.append(event)
        sent.append(
            Delivery(
                id=new_id(),
                tenant=tenant,
                event_id=event.id,
                event_type=event.type,
                esim_id=event.esim_id,
                endpoint_id=endpoint,
                status=rng.choice(list(DeliveryStatus)),
            )
        )
    async with database.transaction() as db:
        await events.insert(db, raised)
        await deliveries.insert(db, sent)
        await queue.enqueue(db, [one for one in sent if one.status is DeliveryStatus.PENDING])
        await db.conn.execute("UPDATE queue SET due_at = now() + interval '1 day'")
    return raised[::-1], sent[::-1]


async def gone_through(search: Callable[[UUID | None], Awaitable[ScanResult[Row]]]) -> list[UUID]:
    """Return the ids that are found by going on to the end."""
    found: list[UUID] = []
    before: UUID | None = None
    while True:
        looked = await search(before)
        found += [row.id for row in looked.rows]
        if len(looked.rows) == LIMIT:
            before = looked.rows[-1].id
        elif looked.reached is not None:
            before = looked.reached
        else:
            return found


async def test_whatever_deliveries_are_searched_for_all_that_fit_are_found(operator: Api, database: Database) -> None:
    tenants, endpoints = await two_tenants(operator)
    _, sent = await a_mixture(database, endpoints)
    spans = [(None, None), (sent[80].id, sent[20].id)]
    choices = product((None, *DeliveryStatus), (None, *TYPES), (None, endpoints[0][1]), (None, sent[0].esim_id), spans)
    for tenant, (status, kind, endpoint, esim, (first, last)) in product(tenants, choices):
        where = DeliveryFilter(
            status=status, event_type=kind, endpoint_id=endpoint, esim_id=esim, first_id=first, last_id=last
        )

        async def search(
            before: UUID | None, where: DeliveryFilter = where, tenant: Tenant = tenant
        ) -> ScanResult[Delivery]:
            async with database.session() as db:
                return await deliveries.page(db, tenant, where, before=before, limit=LIMIT, max_scanned=MOST)

        assert await gone_through(search) == [
            one.id
            for one in sent
            if one.tenant == tenant
            and status in (None, one.status)
            and kind in (None, one.event_type)
            and endpoint in (None, one.endpoint_id)
            and esim in (None, one.esim_id)
            and (first is None or one.id >= first)
            and (last is None or one.id < last)
        ], where


async def test_whatever_events_are_searched_for_all_that_fit_are_found(operator: Api, database: Database) -> None:
    tenants, endpoints = await two_tenants(operator)
    raised, _ = await a_mixture(database, endpoints)
    spans = [(None, None), (raised[80].id, raised[20].id)]
    for tenant, kind, esim, (first, last) in product(tenants, (None, *TYPES), (None, raised[0].esim_id), spans):
        where = EventFilter(type=kind, esim_id=esim, first_id=first, last_id=last)

        async def search(before: UUID | None, where: EventFilter = where, tenant: Tenant = tenant) -> ScanResult[Any]:
            async with database.session() as db:
                return await events.page(db, tenant, where, before=before, limit=LIMIT, max_scanned=MOST)

        assert await gone_through(search) == [
            one.id
            for one in raised
            if one.tenant == tenant
            and kind in (None, one.type)
            and esim in (None, one.esim_id)
            and (first is None or one.id >= first)
            and (last is None or one.id < last)
        ], where


def an_entry(rng: random.Random, esims: Sequence[UUID]) -> JournalEntry:
    [outcome] = rng.choices(list(UpdateOutcome), [9 if one in journal_lists.USUAL else 1 for one in UpdateOutcome])
    return JournalEntry(
        id=new_id(),
        source=rng.choice(("upstream", "other")),
        tenant=None,
        received_at=datetime.now(UTC),
        request=InboundRequest(method="POST", path="/", query="", headers={}, peer="192.0.2.7", body=b"{}"),
        outcome=outcome,
        esim_id=rng.choice(esims),
    )


async def test_whatever_of_the_journal_is_searched_for_all_that_fit_is_found(database: Database) -> None:
    rng = random.Random(7)
    esims = [new_id() for _ in range(3)]
    journaled = [an_entry(rng, esims) for _ in range(NUMBER)]
    async with database.transaction() as db:
        await batch_writes.write(db, batch_writes.Writes(entries=journaled))
    journaled.reverse()
    spans = [(None, None), (journaled[80].id, journaled[20].id)]
    choices = product((None, *UpdateOutcome), (None, "other", "nobody"), (None, esims[0]), spans)
    for outcome, source, esim, (first, last) in choices:
        where = JournalFilter(outcome=outcome, source=source, esim_id=esim, first_id=first, last_id=last)

        async def search(before: UUID | None, where: JournalFilter = where) -> ScanResult[Any]:
            async with database.session() as db:
                return await journal_lists.page(db, where, before=before, limit=LIMIT, max_scanned=MOST)

        assert await gone_through(search) == [
            one.id
            for one in journaled
            if outcome in (None, one.outcome)
            and source in (None, one.source)
            and esim in (None, one.esim_id)
            and (first is None or one.id >= first)
            and (last is None or one.id < last)
        ], where
