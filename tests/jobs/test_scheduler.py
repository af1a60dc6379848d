"""Time-driven jobs: validity that ends, and usage that is polled from the provider over real HTTP.

Rounds of the scheduler are run one by one, where it must be known that one is over; due times are moved in the database.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from api import Api, Json, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.domain.audit import Actor, ActorKind
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.update import Update
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.ingest.orders import NewOrder, place
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.jobs.background import BackgroundJobs
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.jobs.scheduler import EXPIRY_BATCH, POLL_BATCH, Scheduler
from esimhooks.server.providers import registry
from esimhooks.server.providers.port import Pace, Provider, ProviderConfig
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store import esims, freezing
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import Mode
from upstream import Door, Shop, a_shop, allocate, an_upstream, esim_status, moved

MB = 1 << 20


def now() -> datetime:
    return datetime.now(UTC)


def written(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def in_use(transaction_id: str, **fields: Any) -> Json:
    return {"transactionId": transaction_id, "esimStatus": "IN_USE"} | fields


def without_scheduler(settings: Settings) -> Settings:
    return settings.model_copy(update={"roles": frozenset({Role.API, Role.DISPATCHER})})


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[Api]:
    """The API of a node on which time brings nothing by itself."""
    async with running(without_scheduler(settings)) as node, Api(node.url, node.admin_key) as api:
        yield api


class Polling:
    """A scheduler and background jobs of the test's own, and how many eSIMs each of its questions named."""

    def __init__(self, database: Database, session: ClientSession) -> None:
        self.ahead = timedelta()
        """How far its time is ahead."""
        self.sizes: list[int] = []
        sizes = self.sizes

        def build(config: ProviderConfig, pace: Pace) -> Provider:
            provider = registry.build(config, session, pace)
            usage = provider.usage

            async def counted(esim_tran_nos: Sequence[str]) -> tuple[Update, ...]:
                sizes.append(len(esim_tran_nos))
                return await usage(esim_tran_nos)

            provider.usage = counted  # type: ignore[method-assign]
            return provider

        clients, policy = ProviderClients(database, build), EmitPolicy(usage_interval_s=0)
        wakes = Wakes(due=Wake(), backlog=Wake(), fan_out=Wake(), doubts=Wake(), streams=Wake())
        self.scheduler = Scheduler(database, clients, policy=policy, clock=lambda: now() + self.ahead, wakes=wakes)
        requery = Requery(clients, policy=policy, wakes=wakes)
        self.jobs = BackgroundJobs(database, requery, policy=policy, clock=now, wakes=wakes)


@pytest.fixture
async def polling(database: Database) -> AsyncIterator[Polling]:
    async with ClientSession() as session:
        yield Polling(database, session)


async def active_esims(
    shop: Shop, polling: Polling, database: Database, *, base_url: str, sandbox: Sandbox
) -> list[str]:
    """Have 25 eSIMs of 1000 MB in use here, as the merchant's updates report; return the provider's keys."""
    await an_upstream(shop.operator, base_url)
    purchase = Purchase(order_no="B1", transaction_id="t-1", quantity=25, total_bytes=1000 * MB, ending=Ending.USED)
    keys = await sandbox.order(purchase)
    allocate(sandbox, "B1")
    await shop.order("t-1", orderNo="B1", quantity=25)
    await moved(database, "orders", "next_poll_at")
    await polling.scheduler.poll_orders()
    await shop.update(*[{"esimTranNo": key, "esimStatus": "IN_USE"} for key in keys])
    await polling.scheduler.poll_usage()  # spreads the first polls over the interval
    assert polling.sizes == []
    return list(keys)


async def use(sandbox: Sandbox, key: str, name: str) -> None:
    """Have the provider count usage up to a step of the eSIM's life; its notifications go astray."""
    while (step := await sandbox.step(key)) is not None and step.name != name:
        pass


@pytest.mark.slow(reason="waits for a time that comes")
@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [
        ({"totalVolume": 100, "dataUsage": 100}, "USED_EXPIRED", "data_used_and_validity_ended"),
        ({"totalVolume": 100, "dataUsage": 99.5}, "UNUSED_EXPIRED", "unused_data_expired"),
        ({}, "EXPIRED", "validity_ended"),
    ],
    ids=["used", "unused", "unknown"],
)
async def test_an_esim_expires_at_the_time_that_was_reported(
    operator: Api, state: Json, status: str, reason: str
) -> None:
    shop = await a_shop(operator)
    # Reported as of now: a machine may be so busy that it is taken in after the end.
    times = {"occurredAt": written(now()), "expiredTime": written(now() + timedelta(seconds=1))}

    [made] = await shop.update(in_use("t-1") | times | state)

    async def expired() -> Json:
        return [event for event in await shop.events() if event["event"] == "esim.expired"]

    [event] = await eventually(expired)
    assert written(now()) >= times["expiredTime"]
    assert (event["newStatus"], event["reason"], event["previousStatus"]) == (status, reason, "IN_USE")
    assert datetime.fromisoformat(event["timestamp"]) == datetime.fromisoformat(times["expiredTime"])
    assert (await shop.esim(made["esim"]))["esimStatus"] == status


async def test_what_is_used_up_and_ends_is_emitted_as_both(operator: Api) -> None:
    shop = await a_shop(operator)
    times = {"occurredAt": written(now()), "expiredTime": written(now() + timedelta(seconds=0.2))}

    await shop.update({"transactionId": "t-1", "esimStatus": "USED_UP"} | times)

    await shop.raised_in_time("expired", "expired")
    assert [event["reason"] for event in await shop.events()] == ["data_used_up", "data_used_and_validity_ended"]


@pytest.mark.slow(reason="starts two nodes one after the other")
@pytest.mark.timeout(30)
async def test_an_esim_that_expired_while_the_server_was_down_expires_when_it_is_up(settings: Settings) -> None:
    ended_at = written(now() - timedelta(hours=1))
    states: list[Json] = [{"totalVolume": 100, "dataUsage": 100}, {"totalVolume": 100, "dataUsage": 0}, {}]
    async with running(without_scheduler(settings)) as node, Api(node.url, node.admin_key) as api:
        shop = await a_shop(api)
        began = {"occurredAt": written(now() - timedelta(days=2)), "expiredTime": ended_at}
        await shop.update(*[in_use(f"t-{index}") | began | state for index, state in enumerate(states)])
        assert "expired" not in await shop.raised()

    async with running(settings) as node, Api(node.url, node.admin_key) as api:
        shop = Shop(api, shop.account)

        async def expired() -> list[Json]:
            found = [event for event in await shop.events() if event["event"] == "esim.expired"]
            return found if len(found) == len(states) else []

        events = await eventually(expired)
        assert {event["newStatus"] for event in events} == {"USED_EXPIRED", "UNUSED_EXPIRED", "EXPIRED"}
        assert {datetime.fromisoformat(event["timestamp"]) for event in events} == {datetime.fromisoformat(ended_at)}


async def test_an_esim_of_which_the_provider_has_reported_since_its_end_does_not_expire(
    idle: Api, polling: Polling, database: Database
) -> None:
    shop = await a_shop(idle)
    ended_at = written(now() - timedelta(hours=1))
    await shop.update(in_use("t-1", expiredTime=ended_at))

    await polling.scheduler.expire()

    assert await shop.raised() == ["activated"]
    async with database.transaction() as db:
        assert await esims.lock_expired(db, limit=10) == [], "it would be looked at for ever"


async def test_one_esim_whose_end_cannot_be_written_keeps_no_other_from_expiring(
    idle: Api, polling: Polling, database: Database
) -> None:
    shop = await a_shop(idle)
    times = {"occurredAt": "2026-03-01T10:00:00Z", "expiredTime": "2026-03-02T10:00:00Z"}
    await shop.update(*[in_use(f"t-{place}") | times for place in range(3)])

    async with refused(database, "transaction_id <> 't-1' OR status <> 'EXPIRED'"):
        await polling.scheduler.expire()
        await shop.update(in_use("t-4") | times)
        await polling.scheduler.expire()

    assert (await shop.raised()).count("expired") == 3


async def test_one_esim_whose_pending_usage_cannot_be_emitted_keeps_no_other_waiting(
    settings: Settings, polling: Polling, database: Database
) -> None:
    hourly = without_scheduler(settings).model_copy(update={"usage_interval_s": 3600})
    async with running(hourly) as node, Api(node.url, node.admin_key) as api:
        shop = await a_shop(api)
        names = [f"t-{place}" for place in range(3)]
        await shop.update(*[in_use(name, totalVolume=1000) for name in names])
        for used in (10, 20):
            await shop.update(*[{"transactionId": name, "dataUsage": used} for name in names])
        before = (await shop.raised()).count("data_updated")
        await moved(database, "esims", "pending_until")

        async with refused(database, "transaction_id <> 't-1' OR pending_until IS NOT NULL"):
            await polling.scheduler.emit_pending_usage()

        assert (await shop.raised()).count("data_updated") == before + 2


async def test_one_esim_whose_polled_usage_cannot_be_written_keeps_no_other_from_it(
    idle: Api, polling: Polling, sandbox: Sandbox, database: Database
) -> None:
    shop = await a_shop(idle)
    keys = await active_esims(shop, polling, database, base_url=sandbox.base_url, sandbox=sandbox)
    for key in keys:
        await use(sandbox, key, "usage_10")
    await moved(database, "esims", "next_poll_at")

    async with refused(database, f"esim_tran_no <> '{keys[3]}' OR used_bytes IS NULL OR used_bytes = 0"):
        await polling.scheduler.poll_usage()

    assert (await shop.raised()).count("usage_updated") == len(keys) - 1


@asynccontextmanager
async def refused(database: Database, rule: str) -> AsyncIterator[None]:
    """Have eSIMs that break a rule not be written."""
    async with database.transaction() as db:
        await db.conn.execute(f"ALTER TABLE esims ADD CONSTRAINT refused CHECK ({rule}) NOT VALID")
    try:
        yield
    finally:
        async with database.transaction() as db:
            await db.conn.execute("ALTER TABLE esims DROP CONSTRAINT refused")


async def test_an_esim_expires_once_however_many_schedulers_look(idle: Api, polling: Polling) -> None:
    shop = await a_shop(idle)
    times = {"occurredAt": "2026-03-01T10:00:00Z", "expiredTime": "2026-03-02T10:00:00Z"}
    await shop.update(*[in_use(f"t-{index}") | times for index in range(20)])

    for _ in range(3):
        await polling.scheduler.expire()

    assert (await shop.raised()).count("expired") == 20


async def test_usage_is_queried_in_batches_and_emitted_only_where_it_changed(
    idle: Api, polling: Polling, sandbox: Sandbox, database: Database
) -> None:
    shop = await a_shop(idle)
    keys = await active_esims(shop, polling, database, base_url=sandbox.base_url, sandbox=sandbox)
    await use(sandbox, keys[3], "usage_10")
    before = len(await shop.events())

    await moved(database, "esims", "next_poll_at")
    await polling.scheduler.poll_usage()

    assert sorted(polling.sizes) == [5, 10, 10]
    [event] = (await shop.events())[before:]
    assert (event["event"], event["data"]["esimTranNo"]) == ("esim.usage_updated", keys[3])
    assert event["changes"]["dataUsage"] == {"old": 0, "new": 100}

    await moved(database, "esims", "next_poll_at")
    await polling.scheduler.poll_usage()

    assert len(await shop.events()) == before + 1


async def test_however_many_esims_are_new_they_do_not_hold_up_what_is_due(
    idle: Api, polling: Polling, database: Database
) -> None:
    shop = await a_shop(idle)
    await an_upstream(idle)
    new = [in_use(f"t-{index}", esimTranNo=f"K{index}", provider="upstream") for index in range(POLL_BATCH + 1)]
    await shop.update(*new)

    while await polling.scheduler.poll_usage() == 0.0:
        pass

    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM esims WHERE next_poll_at IS NULL") == 0


@pytest.mark.parametrize(("apart_s", "size"), [(10, 10), (300, 4), (1200, 1)])
async def test_a_question_is_filled_with_those_that_are_due_within_a_tenth_of_the_interval(
    idle: Api, polling: Polling, sandbox: Sandbox, database: Database, apart_s: int, size: int
) -> None:
    shop = await a_shop(idle)
    await active_esims(shop, polling, database, base_url=sandbox.base_url, sandbox=sandbox)
    async with database.transaction() as db:
        await db.conn.execute(
            """
            UPDATE esims e SET next_poll_at = now() + make_interval(secs => $1 * place)
            FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM esims) placed WHERE placed.id = e.id
            """,
            apart_s,
        )

    await polling.scheduler.poll_usage()
    await polling.scheduler.poll_usage()

    assert polling.sizes == [size]
    async with database.session() as db:
        soonest = await db.conn.fetchval("SELECT min(next_poll_at) - now() FROM esims")
        assert soonest > timedelta(seconds=apart_s * (size - 1)), "those that were due soonest are polled first"


async def test_a_threshold_that_a_poll_finds_crossed_is_emitted_beside_it(
    idle: Api, polling: Polling, sandbox: Sandbox, database: Database
) -> None:
    shop = await a_shop(idle)
    keys = await active_esims(shop, polling, database, base_url=sandbox.base_url, sandbox=sandbox)
    await use(sandbox, keys[0], "usage_50")
    before = len(await shop.events())

    await moved(database, "esims", "next_poll_at")
    await polling.scheduler.poll_usage()

    data, usage = (await shop.events())[before:]
    assert (data["event"], data["thresholds"]) == ("esim.data_updated", [25, 50])
    assert usage["event"] == "esim.usage_updated"
    assert data["data"] == usage["data"]


async def test_a_provider_that_is_down_delays_polls_and_loses_nothing(
    idle: Api, polling: Polling, sandbox: Sandbox, door: Door, database: Database
) -> None:
    shop = await a_shop(idle)
    keys = await active_esims(shop, polling, database, base_url=door.base_url, sandbox=sandbox)
    for key in (keys[0], keys[-1]):
        await use(sandbox, key, "usage_10")
    before = len(await shop.events())
    await door.close()

    await moved(database, "esims", "next_poll_at")
    await polling.scheduler.poll_usage()

    assert len(polling.sizes) == 1, "the provider was queried again although it was down"
    assert len(await shop.events()) == before
    async with database.session() as db:
        soon = "SELECT count(*) FROM esims WHERE next_poll_at BETWEEN now() AND now() + interval '10 minutes'"
        assert await db.conn.fetchval(soon) == 25

    await door.open()
    await moved(database, "esims", "next_poll_at")
    await polling.scheduler.poll_usage()

    emitted = (await shop.events())[before:]
    assert {(event["event"], event["data"]["esimTranNo"]) for event in emitted} == {
        ("esim.usage_updated", keys[0]),
        ("esim.usage_updated", keys[-1]),
    }


async def test_only_active_esims_are_queried(idle: Api, polling: Polling, sandbox: Sandbox, database: Database) -> None:
    shop = await a_shop(idle)
    keys = await active_esims(shop, polling, database, base_url=sandbox.base_url, sandbox=sandbox)
    await shop.update(*[{"esimTranNo": key, "esimStatus": "SUSPENDED"} for key in keys[4:]])

    await moved(database, "esims", "next_poll_at")
    await polling.scheduler.poll_usage()

    assert polling.sizes == [4]


@pytest.mark.slow(reason="starts two nodes one after the other")
@pytest.mark.timeout(30)
async def test_a_node_polls_what_is_due_when_it_starts(
    settings: Settings, polling: Polling, sandbox: Sandbox, database: Database
) -> None:
    async with running(without_scheduler(settings)) as node, Api(node.url, node.admin_key) as api:
        shop = await a_shop(api)
        keys = await active_esims(shop, polling, database, base_url=sandbox.base_url, sandbox=sandbox)
        await use(sandbox, keys[0], "usage_10")
    await moved(database, "esims", "next_poll_at")

    async with running(settings) as node, Api(node.url, node.admin_key) as api:
        shop = Shop(api, shop.account)

        async def polled() -> bool:
            return "usage_updated" in await shop.raised()

        await eventually(polled)


async def test_where_more_have_ended_than_one_round_takes_the_next_follows_at_once(idle: Api, polling: Polling) -> None:
    shop = await a_shop(idle)
    ended = {"occurredAt": written(now() - timedelta(days=2)), "expiredTime": written(now() - timedelta(hours=1))}
    await shop.update(*[in_use(f"t-{index}") | ended for index in range(EXPIRY_BATCH + 1)])

    pauses = [await polling.scheduler.expire() for _ in range(2)]

    assert pauses[0] == 0.0 < pauses[1]
    assert await shop.esims(status="IN_USE") == []


@asynccontextmanager
async def frozen(shop: Shop, database: Database) -> AsyncIterator[None]:
    """Have the merchant's account be frozen meanwhile, as for a move that is called off."""
    account_id = parse_id(Prefix.ACCOUNT, shop.account)
    async with database.transaction() as db:
        await freezing.freeze(db, account_id)
    yield
    async with database.transaction() as db:
        await freezing.unfreeze(db, account_id)


async def test_an_order_that_fails_while_its_account_is_frozen_has_failed_once_the_account_goes_on(
    idle: Api, polling: Polling, sandbox: Sandbox, database: Database
) -> None:
    shop = await a_shop(idle)
    await an_upstream(idle, sandbox.base_url)
    await shop.order("t-1", orderNo="B404")
    async with database.transaction() as db:
        await db.conn.execute("UPDATE orders SET created_at = now() - interval '1 hour'")
    async with frozen(shop, database):
        await moved(database, "orders", "next_poll_at")
        await polling.scheduler.poll_orders()

    await moved(database, "orders", "next_poll_at")
    await polling.scheduler.poll_orders()

    assert [event["newStatus"] for event in await shop.events()] == ["FAILED"]


async def test_a_requery_passes_no_esim_while_its_account_is_frozen(
    idle: Api, polling: Polling, sandbox: Sandbox, database: Database
) -> None:
    shop = await a_shop(idle)
    await an_upstream(idle, sandbox.base_url)
    await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", quantity=1, ending=Ending.USED))
    allocate(sandbox, "B1")
    await shop.order("t-1", orderNo="B1")
    await moved(database, "orders", "next_poll_at")
    await polling.scheduler.poll_orders()
    await idle.post(f"/v1/esims/requery?account={shop.account}&mode=test", {}, status=202)
    async with frozen(shop, database):
        await polling.jobs.process_due_requeries()

    await polling.jobs.process_due_requeries()

    assert await shop.raised() == ["created", "usage_updated", "requeried"]


@pytest.mark.parametrize("rounds_before", [0, 1])
async def test_a_notification_that_came_beside_its_esim_is_applied_however_long_nobody_has_looked(
    idle: Api, polling: Polling, database: Database, rounds_before: int
) -> None:
    shop, upstream = await a_shop(idle), await an_upstream(idle)
    for _ in range(rounds_before):
        await polling.scheduler.clean_up()
    new = NewOrder(
        tenant=Tenant(parse_id(Prefix.ACCOUNT, shop.account), Mode.TEST),
        provider="upstream",
        transaction_id="t-1",
        order_no=None,
        package_code="CKH1",
        package_name=None,
        quantity=1,
    )
    async with database.transaction() as db:
        await place(db, Actor(kind=ActorKind.OPERATOR), new, polled=False, now=now())
        answer = await upstream.notify(esim_status("K1", "IN_USE", transactionId="t-1"))
        assert answer.body["outcome"] == "unmatched"
    polling.ahead = timedelta(hours=1)

    await polling.scheduler.clean_up()

    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM backlog WHERE due_at <= now()") == 1
