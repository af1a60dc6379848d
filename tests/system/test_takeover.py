"""Two dispatchers share the lanes; of one that is killed or paused the other takes over, and nothing is lost or sent twice.

A webhook may arrive twice only where the one that sent it had not written what came of it.
"""

from collections import Counter
from uuid import UUID

import pytest

from api import Api, Json, Merchant, a_merchant, eventually
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.store.database import Database
from receiver import Receiver, status
from system.dispatcher_processes import DispatcherProcess, Dispatchers
from system.gated_answers import Gate, answered_after
from system.sent_webhooks import an_endpoint
from system.stored_lanes import all_delivered

pytestmark = [
    pytest.mark.slow(reason="starts dispatchers as processes of their own, on a machine that may be busy"),
    pytest.mark.timeout(300),
]

LANES = 12
EVENTS = 40
AT_ONCE = 20
"""How many requests each dispatcher has open: few, so that there is something left to take over."""
DUE = 3 * AT_ONCE
"""As many as it claims of one lane: those in flight, and twice as many ready."""


async def test_a_dispatcher_takes_over_the_lanes_of_one_that_was_killed(
    intake: Api, dispatchers: Dispatchers, receiver: Receiver, database: Database
) -> None:
    both_have_begun = Gate(then=answered_after(0.1))
    for number in range(LANES):
        receiver.answer(f"/{number}", script=[both_have_begun.answer])
    merchant = await _with_endpoints(intake, receiver, LANES)
    first = await dispatchers.start(max_in_flight=str(AT_ONCE))
    second = await dispatchers.start(max_in_flight=str(AT_ONCE))
    await dispatchers.have_met()  # else the first leases all lanes, and holds them in requests that hang
    await _raise_events(intake, merchant, EVENTS)

    async def both_work() -> bool:
        return bool(await dispatchers.leased_by(first)) and bool(await dispatchers.leased_by(second))

    await eventually(both_work, within_s=60)
    both_have_begun.open()
    await receiver.wait_for(LANES * EVENTS // 4, timeout=60)
    first.node.kill()
    leases_of_the_dead = await dispatchers.leased_by(first)
    in_hand = await _arrivals_of(database, await dispatchers.claimed_by(first))
    await dispatchers.forget(first)
    await eventually(lambda: all_delivered(database), within_s=90)

    copies = Counter((request.path, request.headers["webhook-id"]) for request in receiver.received)
    again = {arrival for arrival, times in copies.items() if times > 1}
    print(f"\n{len(leases_of_the_dead)} lanes taken over, {len(in_hand)} in hand, {len(again)} arrived again")
    assert leases_of_the_dead
    assert len(copies) == LANES * EVENTS
    assert again <= in_hand
    assert max(copies.values()) <= 2
    assert await _attempts(database) == {(1, "2xx"): LANES * EVENTS}


async def test_a_dispatcher_that_was_paused_past_its_lease_changes_nothing_when_it_goes_on(
    intake: Api, dispatchers: Dispatchers, receiver: Receiver, database: Database
) -> None:
    seen_by_the_paused = Gate(then=status(500))
    receiver.answer("/0", script=[seen_by_the_paused.answer])
    merchant = await _with_endpoints(intake, receiver, 1)
    paused = await dispatchers.start()
    await _raise_events(intake, merchant, DUE)
    await receiver.wait_for(AT_ONCE, timeout=90)
    await eventually(lambda: _has_claimed(dispatchers, paused, DUE), within_s=90)

    paused.node.pause()
    await eventually(lambda: _lease_has_ended(dispatchers, paused), within_s=90)  # by itself: it knows its own clock
    receiver.answer("/0", status=200)
    other = await dispatchers.start()
    await eventually(lambda: all_delivered(database), within_s=60)
    seen_by_the_paused.open()
    paused.node.go_on()
    other.node.terminate()
    await other.node.exit_code()
    await _raise_events(intake, merchant, 1, begin_at=DUE)
    await eventually(lambda: all_delivered(database), within_s=60)  # by the one that was paused: it has caught up

    copies = Counter(request.headers["webhook-id"] for request in receiver.received)
    assert sorted(copies.values()) == [1] * (DUE - AT_ONCE + 1) + [2] * AT_ONCE  # what it had only claimed, it left
    assert await _attempts(database) == {(1, "2xx"): DUE + 1}
    async with database.session() as db:
        lane = await db.conn.fetchrow("SELECT failures, allowed, held_until FROM lanes")
    assert lane is not None
    assert tuple(lane) == (0, None, None)


async def _raise_events(intake: Api, merchant: Merchant, count: int, *, begin_at: int = 0) -> None:
    """Create so many eSIMs, and so one event each."""
    updates = [
        {"transactionId": f"shop-{number}", "esimStatus": "CREATED"} for number in range(begin_at, begin_at + count)
    ]
    body = {"account": merchant.account, "mode": "test", "updates": updates}
    await intake.post("/v1/updates", body, status=200)


async def _with_endpoints(intake: Api, receiver: Receiver, count: int) -> Merchant:
    merchant = await a_merchant(intake)
    async with intake.as_key(merchant.key) as caller:
        for number in range(count):
            await an_endpoint(caller, receiver.url(f"/{number}"), timeout=30)
    return merchant


async def _has_claimed(dispatchers: Dispatchers, dispatcher: DispatcherProcess, count: int) -> bool:
    return len(await dispatchers.claimed_by(dispatcher)) >= count


async def _lease_has_ended(dispatchers: Dispatchers, dispatcher: DispatcherProcess) -> bool:
    return not await dispatchers.leased_by(dispatcher)


async def _arrivals_of(database: Database, deliveries: set[UUID]) -> set[tuple[str, str]]:
    """Return path and event id of each delivery, as its receiver sees it."""
    async with database.session() as db:
        rows: Json = await db.conn.fetch(
            """
            SELECT '/' || split_part(e.url, '/', 4) AS path, d.event_id
            FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id WHERE d.id = ANY($1)
            """,
            list(deliveries),
        )
    return {(row["path"], text_of(Prefix.EVENT, row["event_id"])) for row in rows}


async def _attempts(database: Database) -> dict[tuple[int, str], int]:
    """Return how many attempts are written of each number and outcome."""
    async with database.session() as db:
        rows = await db.conn.fetch("SELECT number, outcome, count(*) AS n FROM attempts GROUP BY number, outcome")
    return {(row["number"], row["outcome"]): row["n"] for row in rows}
