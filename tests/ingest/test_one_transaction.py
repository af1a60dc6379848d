"""All of an intake is one transaction: concurrent requests, and a database that refuses the last row of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from api import Answer, Api, Json, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, parse_id, text_or_none
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.ingest.batch import Item, apply_batch
from esimhooks.server.ingest.orders import NewOrder, place
from esimhooks.server.store.batch_reads import Scope
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import EsimStatus, Mode
from factories import SERVER
from receiver import Receiver
from upstream import Shop, a_shop, an_upstream, esim_status

KEPT = ("notifications", "seen_notifications", "esims", "events", "deliveries", "queue")


@asynccontextmanager
async def refusing(database: Database, table: str) -> AsyncIterator[None]:
    """Have the database refuse every new row of a table."""
    async with database.transaction() as db:
        await db.conn.execute(f"ALTER TABLE {table} ADD CONSTRAINT refused CHECK (false) NOT VALID")
    try:
        yield
    finally:
        async with database.transaction() as db:
            await db.conn.execute(f"ALTER TABLE {table} DROP CONSTRAINT refused")


async def counted(database: Database) -> dict[str, int]:
    async with database.session() as db:
        return {table: await db.conn.fetchval(f"SELECT count(*) FROM {table}") for table in KEPT}


@pytest.mark.parametrize("table", ["queue", "deliveries", "events", "notifications"])
async def test_where_one_row_is_refused_nothing_is_kept_and_nobody_gets_a_2xx(
    operator: Api, database: Database, receiver: Receiver, table: str
) -> None:
    shop, upstream = await a_shop(operator, webhook_url=receiver.url()), await an_upstream(operator)
    order = await shop.order("t-1", orderNo="B1")
    notification = esim_status("K1", "IN_USE", transactionId="t-1")
    update = {"account": shop.account, "mode": "test", "updates": [{"transactionId": "t-2", "esimStatus": "CREATED"}]}
    before = await counted(database)

    async with refusing(database, table):
        refused = await upstream.notify(notification)
        not_updated = await operator.call("POST", "/v1/updates", update)

    assert [(answer.status, answer.body["code"]) for answer in (refused, not_updated)] == [(503, "TRY_AGAIN")] * 2
    assert await counted(database) == before
    assert (await shop.esim(order["esims"][0]["id"]))["esimStatus"] == "PENDING"

    taken = await upstream.notify(notification)
    updated = await operator.call("POST", "/v1/updates", update)

    assert (taken.status, taken.body["outcome"]) == (200, "applied")
    assert (updated.status, updated.body["results"][0]["outcome"]) == (200, "applied")
    assert await shop.raised() == ["activated", "created"]
    await receiver.wait_for(2)


async def test_a_request_that_cannot_be_committed_does_not_harm_those_beside_it(
    operator: Api, database: Database
) -> None:
    shop = await a_shop(operator)
    async with database.transaction() as db:
        await db.conn.execute("ALTER TABLE esims ADD CONSTRAINT refused CHECK (transaction_id <> 'bad') NOT VALID")
    try:
        bodies: list[Json] = [
            {
                "account": shop.account,
                "mode": "test",
                "updates": [{"transactionId": "bad" if index == 7 else f"t-{index}", "esimStatus": "CREATED"}],
            }
            for index in range(20)
        ]
        answers = await asyncio.gather(*[operator.call("POST", "/v1/updates", body) for body in bodies])
        again = await asyncio.gather(
            *[operator.call("POST", "/v1/updates", bodies[index]) for index, one in enumerate(answers) if index != 7]
        )
    finally:
        async with database.transaction() as db:
            await db.conn.execute("ALTER TABLE esims DROP CONSTRAINT refused")

    assert answers[7].status == 503
    assert {answer.status for index, answer in enumerate(answers) if index != 7} <= {200, 503}
    assert {answer.status for answer in again} == {200}
    assert len(await shop.esims()) == 19
    assert len(await shop.events()) == 19


async def test_who_creates_an_esim_waits_for_whoever_is_creating_one_of_the_same_transaction(
    operator: Api, database: Database
) -> None:
    shop = await a_shop(operator)
    item = Item(
        updates=(Update(identity=Identity(transaction_id="t-1"), esim_status=EsimStatus.CREATED),),
        scope=Scope(tenant=Tenant(parse_id(Prefix.ACCOUNT, shop.account), Mode.TEST)),
        creates=True,
    )

    async def waits() -> bool:
        async with database.session() as other:
            blocked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return bool(await other.conn.fetchval(blocked))

    async with asyncio.TaskGroup() as tasks, database.transaction() as db:
        [[made]] = (await apply_batch(db, [item], EmitPolicy())).results
        update = tasks.create_task(shop.update({"transactionId": "t-1", "esimStatus": "IN_USE"}))
        await eventually(waits)

    assert [result["esim"] for result in update.result()] == [text_or_none(Prefix.ESIM, made.esim_id)]
    assert await shop.raised() == ["created", "activated"]


@pytest.mark.slow(reason="runs two nodes")
@pytest.mark.timeout(30)
async def test_concurrent_requests_at_two_nodes_create_one_esim(settings: Settings) -> None:
    body: Json = {"mode": "test"}
    async with (
        running(settings) as one,
        running(settings) as two,
        Api(one.url, one.admin_key) as first,
        Api(two.url, two.admin_key) as second,
    ):
        shop = await a_shop(first)

        def sent(index: int) -> Json:
            update = {"transactionId": "t-1", "esimStatus": "CREATED", "dataUsage": index, "totalVolume": 10_000}
            return body | {"account": shop.account, "updates": [update]}

        answers: list[Answer] = await asyncio.gather(
            *[(first, second)[index % 2].call("POST", "/v1/updates", sent(index)) for index in range(40)]
        )

        results = [answer.body["results"][0] for answer in answers]
        assert {answer.status for answer in answers} == {200}
        assert {result["outcome"] for result in results} <= {"applied", "unchanged", "stale"}
        assert len({result["esim"] for result in results}) == 1
        assert len(await shop.esims()) == 1
        assert (await shop.raised()).count("created") == 1


async def test_concurrent_updates_of_one_esim_are_numbered_without_gaps_and_the_latest_wins(operator: Api) -> None:
    shop = await a_shop(operator)
    created = {"transactionId": "t-1", "esimStatus": "CREATED", "totalVolume": 100_000, "dataUsage": 0}
    [made] = await shop.update(
        created | {"occurredAt": "2026-03-01T09:00:00Z", "lastUsageUpdate": "2026-03-01T09:00:00Z"}
    )

    results = await asyncio.gather(
        *[
            shop.update({"transactionId": "t-1", "dataUsage": index, "occurredAt": f"2026-03-01T10:00:{index:02}Z"})
            for index in range(1, 51)
        ]
    )

    outcomes = [result[0]["outcome"] for result in results]
    events = await shop.events(made["esim"])
    assert set(outcomes) <= {"applied", "stale"}
    assert [event["sequence"] for event in events] == list(range(1, outcomes.count("applied") + 2))
    esim = await shop.esim(made["esim"])
    assert (esim["dataUsage"], esim["lastUsageUpdate"]) == (50, "2026-03-01T10:00:50.000Z")


async def test_an_esim_never_says_the_same_sequence_twice_even_from_two_sources(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    order = await shop.order("t-1", orderNo="B1")
    await upstream.notify(esim_status("K1", "GOT_RESOURCE", transactionId="t-1"))

    await asyncio.gather(
        *[upstream.notify(esim_status("K1", ("IN_USE", "SUSPENDED")[index % 2], remark=index)) for index in range(20)],
        *[shop.update({"esimTranNo": "K1", "totalVolume": 1000, "dataUsage": index}) for index in range(1, 21)],
    )

    events = await shop.events(order["esims"][0]["id"])
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))


@pytest.mark.slow(reason="starts two nodes one after the other")
@pytest.mark.timeout(30)
async def test_a_notification_that_came_in_while_its_order_was_being_committed_is_found(
    settings: Settings, database: Database
) -> None:
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        shop, upstream = await a_shop(operator), await an_upstream(operator)
        tenant = Tenant(parse_id(Prefix.ACCOUNT, shop.account), Mode.TEST)
        new = NewOrder(
            tenant=tenant,
            provider="upstream",
            transaction_id="t-1",
            order_no="B1",
            package_code="CKH1",
            package_name=None,
            quantity=1,
        )
        async with database.transaction() as db:
            await place(db, SERVER, new, polled=False, now=datetime.now(UTC))
            answer = await upstream.notify(esim_status("K1", "IN_USE", transactionId="t-1"))
        assert answer.body["outcome"] == "unmatched"

    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        await Shop(operator, shop.account).raised_in_time("activated")


async def test_what_found_no_esim_is_looked_at_again_when_a_later_update_of_the_commit_makes_it_known(
    operator: Api, database: Database
) -> None:
    shop = await a_shop(operator)

    results = await shop.update(
        {"esimTranNo": "K1", "esimStatus": "IN_USE"},
        {"esimTranNo": "K1", "transactionId": "t-1", "esimStatus": "CREATED"},
    )

    assert [one["outcome"] for one in results] == ["unmatched", "applied"]
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM unmatched_notifications") == 0
    await shop.raised_in_time("created", "activated")


async def test_the_merchant_is_notified_of_what_was_committed_and_of_nothing_else(
    operator: Api, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    shop = Shop(operator, merchant.account)

    await shop.update({"transactionId": "t-1", "esimStatus": "CREATED"}, {"transactionId": "t-1", "dataUsage": -1})

    async def delivered() -> bool:
        found = await operator.get(f"/v1/deliveries?account={merchant.account}&mode=test")
        return bool(found["data"]) and all(one["status"] == "delivered" for one in found["data"])

    await eventually(delivered)
    assert [one.headers["webhook-id"] for one in receiver.received] == [one["id"] for one in await shop.events()]


@pytest.mark.parametrize("size", [1, 50])
async def test_a_batch_of_any_size_is_two_statements_in_one_transaction(
    operator: Api, database: Database, size: int
) -> None:
    shop = await a_shop(operator)
    items = [
        Item(
            updates=(Update(identity=Identity(transaction_id=f"t-{index}"), esim_status=EsimStatus.CREATED),),
            scope=Scope(tenant=Tenant(parse_id(Prefix.ACCOUNT, shop.account), Mode.TEST)),
            creates=True,
        )
        for index in range(size)
    ]
    statements: list[str] = []
    async with database.session() as db:
        async with db.conn.transaction():
            await apply_batch(db, items, EmitPolicy())  # a new connection learns its types once
        with db.conn.query_logger(lambda record: statements.append(record.query.split()[0].upper())):
            async with db.conn.transaction():
                taken = await apply_batch(db, items, EmitPolicy())

    assert len(taken.results) == size
    assert statements == ["BEGIN;", "SELECT", "WITH", "COMMIT;"]
