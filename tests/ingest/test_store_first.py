"""Under load a notification is answered once it is stored, and applied from there: in order, once, whatever ends meanwhile.

Nodes here store every notification first (`store_first=1`). A test that holds the lock of what was stored has nothing
applied until it lets go.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api import Answer, Api, Json, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.jobs.stored_notifications import MAX_PER_BATCH
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from esimhooks.server.store import freezing, stored_first
from esimhooks.server.store.database import Database
from esimhooks.server.store.journal import STORED_LOCK
from receiver import Receiver
from system.node_process import NodeProcess
from upstream import Shop, Upstream, a_shop, allocate, an_upstream, esim_status

STORED = (200, {"outcome": "waiting"})


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"store_first": 1})


@asynccontextmanager
async def nothing_applied(database: Database) -> AsyncIterator[None]:
    """Have nothing applied of what is stored first."""
    async with database.transaction() as db:
        await db.conn.execute("SELECT pg_advisory_xact_lock($1)", STORED_LOCK)
        yield


async def an_esim(shop: Shop, key: str, **fields: str) -> str:
    """Make an eSIM of the provider known; return its id."""
    created = {"esimTranNo": key, "transactionId": f"of {key}", "esimStatus": "CREATED", "provider": "upstream"}
    [result] = await shop.update(created | fields)
    return str(result["esim"])


def answered(answer: Answer) -> tuple[int, Json]:
    return answer.status, answer.body


async def test_what_is_stored_first_is_applied_in_its_order_and_delivered(operator: Api, receiver: Receiver) -> None:
    shop, upstream = await a_shop(operator, webhook_url=receiver.url()), await an_upstream(operator)
    esim_id = await an_esim(shop, "K1")

    statuses = ("IN_USE", "SUSPENDED", "IN_USE", "SUSPENDED", "IN_USE")
    answers = [answered(await upstream.notify(esim_status("K1", status))) for status in statuses]

    assert answers == [STORED] * 5
    await shop.raised_in_time("created", "activated", *["suspended", "activated"] * 2)
    assert (await shop.esim(esim_id))["esimStatus"] == "IN_USE"
    assert [entry["outcome"] for entry in await upstream.journal()] == ["applied"] * 5
    await receiver.wait_for(6)


async def test_a_repetition_that_is_stored_first_is_reported_as_one(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await an_esim(shop, "K1")
    notification = esim_status("K1", "IN_USE") | {"notifyId": "n-1"}

    await upstream.notify(notification)
    await upstream.notify(notification)
    await upstream.journaled("duplicate")

    assert [entry["outcome"] for entry in await upstream.journal()] == ["applied", "duplicate"]
    assert await shop.raised() == ["created", "activated"]


async def test_what_nobody_understands_or_knows_is_shown_as_such(operator: Api) -> None:
    upstream = await an_upstream(operator)

    unknown = await upstream.notify(esim_status("K404", "IN_USE"))
    invalid = await upstream.notify({"notifyType": "ESIM_STATUS", "content": {}})

    assert answered(unknown) == STORED
    assert invalid.body["outcome"] == "invalid"  # nothing of it can wait for its turn
    assert await eventually(lambda: upstream.journal(outcome="unmatched"))


async def test_what_comes_later_follows_what_is_stored_at_whatever_node_it_comes_in(
    settings: Settings, database: Database
) -> None:
    never = settings.model_copy(update={"store_first": 0})
    async with (
        running(settings) as one,
        running(never) as two,
        Api(one.url, one.admin_key) as first,
        Api(two.url, two.admin_key) as second,
    ):
        shop, upstream = await a_shop(first), await an_upstream(first)
        await an_esim(shop, "K1")
        inbound = (await second.get("/v1/providers/upstream"))["inboundUrl"]
        async with nothing_applied(database):
            await upstream.notify(esim_status("K1", "IN_USE"))
            answer = await Upstream(second, inbound).notify(esim_status("K1", "SUSPENDED"))

        assert answered(answer) == STORED
        await shop.raised_in_time("created", "activated", "suspended")


async def test_who_says_only_a_key_that_a_stored_notification_makes_known_comes_after_it(
    operator: Api, database: Database
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo="B1")
    await shop.order("t-2", orderNo="B2")

    async with nothing_applied(database):
        await upstream.notify(esim_status("K1", "GOT_RESOURCE", transactionId="t-1"))
        for status in ("IN_USE", "SUSPENDED", "IN_USE"):
            await upstream.notify(esim_status("K1", status))

    await shop.raised_in_time("created", "activated", "suspended", "activated")


async def test_a_fact_without_a_time_follows_one_whose_clock_is_ahead_also_where_both_are_stored(operator: Api) -> None:
    shop = await a_shop(operator)
    ahead = (datetime.now(UTC) + timedelta(seconds=60)).isoformat(timespec="seconds")
    updates = [
        {"transactionId": "t-1", "esimTranNo": "K1", "esimStatus": "CREATED"},
        {"transactionId": "t-1", "esimStatus": "IN_USE", "occurredAt": ahead},
        {"transactionId": "t-1", "esimStatus": "SUSPENDED"},
    ]
    body = json.dumps({"account": shop.account, "mode": "test", "updates": updates}).encode()

    await operator.raw("POST", "/v1/updates", body, content_type="application/json", prefer="respond-async")

    await shop.raised_in_time("created", "activated", "suspended")


async def test_what_is_stored_before_its_esim_is_created_is_looked_at_again(operator: Api, database: Database) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    created = {"esimTranNo": "K1", "transactionId": "t-1", "esimStatus": "CREATED", "provider": "upstream"}
    body = json.dumps({"account": shop.account, "mode": "test", "updates": [created]}).encode()

    async with nothing_applied(database):
        await upstream.notify(esim_status("K1", "IN_USE"))
        await operator.raw("POST", "/v1/updates", body, content_type="application/json", prefer="respond-async")

    await upstream.journaled("applied")
    await shop.raised_in_time("created")


async def test_a_flood_of_one_account_takes_only_its_share_of_a_batch(operator: Api, database: Database) -> None:
    flooded, other, upstream = await a_shop(operator), await a_shop(operator), await an_upstream(operator)
    await an_esim(flooded, "K1")
    await an_esim(other, "K2")

    async with nothing_applied(database):
        for index in range(30):
            await upstream.notify(esim_status("K1", ("IN_USE", "SUSPENDED")[index % 2]))
        await upstream.notify(esim_status("K2", "IN_USE"))
        async with database.session() as db:
            batch, _ = await stored_first.next_ones(db, after=None, limit=10)

    last = (await upstream.journal())[-1]
    taken = [one.notification_id for one in batch]
    assert len(taken) == 6
    assert parse_id(Prefix.NOTIFICATION, last["id"]) in taken
    await other.raised_in_time("created", "activated")


async def test_more_than_may_wait_is_refused_for_a_while(settings: Settings, database: Database) -> None:
    narrow = settings.model_copy(update={"store_first_rows": 2})
    async with running(narrow) as node, Api(node.url, node.admin_key) as operator:
        shop, upstream = await a_shop(operator), await an_upstream(operator)
        await an_esim(shop, "K1")
        async with nothing_applied(database):
            answers = [await upstream.notify(esim_status("K1", status)) for status in ("IN_USE", "SUSPENDED", "IN_USE")]

        assert [answer.status for answer in answers] == [200, 200, 503]
        assert int(answers[-1].headers["Retry-After"]) > 0

        async def let_in() -> bool:
            return (await upstream.notify(esim_status("K1", "IN_USE"))).status == 200

        await eventually(let_in)
        await shop.raised_in_time("created", "activated", "suspended", "activated")


async def test_what_must_be_confirmed_is_queried_after_it_was_stored(operator: Api, sandbox: Sandbox) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    [key] = await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", ending=Ending.CANCELLED))
    allocate(sandbox, "B1")
    await an_esim(shop, key)
    while (step := await sandbox.step(key)) is not None and step.name != "cancelled":
        pass

    answer = await upstream.notify(esim_status(key, "CANCEL"))

    assert answered(answer) == STORED
    await upstream.journaled("applied")
    assert "suspended" in await shop.raised()


async def test_one_that_cannot_be_written_does_not_keep_the_others_waiting(operator: Api, database: Database) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    for index in range(10):
        await an_esim(shop, f"K{index}")
    refuse = "ALTER TABLE esims ADD CONSTRAINT refused CHECK (esim_tran_no <> 'K5' OR status <> 'IN_USE') NOT VALID"
    async with nothing_applied(database):
        for index in range(10):
            await upstream.notify(esim_status(f"K{index}", "IN_USE"))
        async with database.transaction() as db:
            await db.conn.execute(refuse)

    async def others_applied() -> bool:
        return len(await upstream.journal(outcome="applied")) == 9

    await eventually(others_applied)
    async with database.transaction() as db:
        await db.conn.execute("ALTER TABLE esims DROP CONSTRAINT refused")
        await db.conn.execute("UPDATE backlog SET due_at = now()")

    async def all_applied() -> bool:
        return len(await upstream.journal(outcome="applied")) == 10

    await eventually(all_applied)
    assert await shop.raised() == ["created"] * 10 + ["activated"] * 10


async def test_updates_for_whose_outcome_nobody_waits_are_stored_and_applied_in_order(operator: Api) -> None:
    shop = await a_shop(operator)
    updates = [{"transactionId": "t-1", "esimStatus": status} for status in ("CREATED", "IN_USE", "SUSPENDED")]
    body = json.dumps({"account": shop.account, "mode": "test", "updates": [*updates, {"esimStatus": "NO"}]}).encode()

    headers = {"content_type": "application/json", "prefer": "handling=strict, Respond-Async; wait=5"}
    answer = await operator.raw("POST", "/v1/updates", body, **headers)

    assert answer.status == 202
    assert answer.headers["preference-applied"] == "respond-async"
    addresses = [f"/v1/notifications/{one}" for one in answer.body["notifications"]]
    assert [(await operator.get(one))["source"] for one in addresses] == ["updates"] * 4
    await shop.raised_in_time("created", "activated", "suspended")

    async def outcomes() -> bool:
        found = [(await operator.get(one))["outcome"] for one in addresses]
        return found == ["applied", "applied", "applied", "invalid"]

    await eventually(outcomes)


async def test_the_same_request_with_an_idempotency_key_stores_its_updates_once(operator: Api) -> None:
    shop = await a_shop(operator)
    update = {"transactionId": "t-1", "esimStatus": "CREATED"}
    body = json.dumps({"account": shop.account, "mode": "test", "updates": [update]}).encode()
    headers = {"content_type": "application/json", "prefer": "respond-async", "idempotency_key": "k-1"}

    first = await operator.raw("POST", "/v1/updates", body, **headers)
    again = await operator.raw("POST", "/v1/updates", body, **headers)

    assert (first.status, again.status) == (202, 202)
    assert first.body == again.body
    await shop.raised_in_time("created")


async def test_at_rest_a_notification_is_applied_before_it_is_answered(settings: Settings) -> None:
    usual = settings.model_copy(update={"store_first": 20})
    async with running(usual) as node, Api(node.url, node.admin_key) as operator:
        shop, upstream = await a_shop(operator), await an_upstream(operator)
        await an_esim(shop, "K1")

        answer = await upstream.notify(esim_status("K1", "IN_USE"))

        assert answer.body["outcome"] == "applied"


async def test_more_than_one_commit_takes_is_stored_first_and_shown_in_the_metrics(settings: Settings) -> None:
    usual = settings.model_copy(update={"store_first": 20})
    async with running(usual) as node, Api(node.url, node.admin_key) as operator:
        shop, upstream = await a_shop(operator), await an_upstream(operator)
        await asyncio.gather(*[an_esim(shop, f"K{index}") for index in range(100)])

        notifications = [upstream.notify(esim_status(f"K{index}", "IN_USE")) for index in range(100)]
        outcomes = {answer.body["outcome"] for answer in await asyncio.gather(*notifications)}

        assert "waiting" in outcomes

        async def all_applied() -> bool:
            return {entry["outcome"] for entry in await upstream.journal()} == {"applied"}

        await eventually(all_applied)
        metrics = (await operator.raw("GET", "/metrics", b"")).body
        assert 'esimhooks_notifications_stored_first_total{source="upstream"}' in metrics
        assert "esimhooks_oldest_stored_seconds" in metrics


@pytest.mark.slow(reason="kills a node and starts it again")
@pytest.mark.timeout(60)
async def test_what_was_stored_and_answered_is_applied_once_after_the_node_was_killed(
    migrated: str, settings: Settings, database: Database, receiver: Receiver, tmp_path: Path
) -> None:
    encryption_key = settings.encryption_key[0].get_secret_value()
    node = NodeProcess(
        {
            "database_url": migrated,
            "data_dir": str(tmp_path),
            "port": "0",
            "admin_key": "an-operator-key-of-forty-characters-00001",
            "encryption_key": encryption_key,
            "allow_networks": "127.0.0.0/8",
            "tries_address": "0",
            "store_first": "1",
        },
        tmp_path / "node.log",
    )
    await node.start()
    try:
        async with Api(node.url, "an-operator-key-of-forty-characters-00001") as operator:
            shop, upstream = await a_shop(operator, webhook_url=receiver.url()), await an_upstream(operator)
            for index in range(40):
                await an_esim(shop, f"K{index}")
            await receiver.wait_for(40)
            async with nothing_applied(database):
                notifications = [upstream.notify(esim_status(f"K{index}", "IN_USE")) for index in range(40)]
                assert {answered(answer)[0] for answer in await asyncio.gather(*notifications)} == {200}
                node.kill()
        await node.start()
        async with Api(node.url, "an-operator-key-of-forty-characters-00001") as operator:
            await receiver.wait_for(80)
            events: list[Json] = (
                await operator.get(f"/v1/events?account={shop.account}&mode=test&limit=100&type=esim.activated")
            )["data"]
        assert len(events) == 40
    finally:
        node.clear_up()


LIST = """
name = "Upstream"
[[rule]]
name = "list"
each = "list"
set.key = "sim"
set.status = {path = "state", table = {live = "IN_USE", off = "SUSPENDED"}}
"""


@pytest.mark.slow(reason="sends more than a batch takes")
@pytest.mark.timeout(60)
async def test_one_about_esims_of_two_merchants_keeps_its_place_among_those_of_both(
    operator: Api, database: Database
) -> None:
    first, second = await a_shop(operator), await a_shop(operator)
    made = await operator.put("/v1/providers/upstream", {"kind": "mapping", "settings": {"document": LIST}})
    upstream = Upstream(operator, made["inboundUrl"])
    await an_esim(first, "A")
    await an_esim(second, "B")

    async with nothing_applied(database):
        for index in range(MAX_PER_BATCH + 50):  # more than a batch takes of the first merchant's
            await upstream.notify({"list": [{"sim": "A", "state": ("live", "off")[index % 2]}]})
        await upstream.notify({"list": [{"sim": "A", "state": "live"}, {"sim": "B", "state": "live"}]})
        await upstream.notify({"list": [{"sim": "B", "state": "off"}]})

    await second.raised_in_time("created", "activated", "suspended")
    assert (await first.raised())[-1] == "activated"


async def test_a_replay_of_what_is_stored_does_not_overtake_what_was_stored_before(
    operator: Api, database: Database
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await an_esim(shop, "K1")

    async with nothing_applied(database):
        for status in ("IN_USE", "SUSPENDED"):
            await upstream.notify(esim_status("K1", status))
        entries = await upstream.journal()
        await operator.post(f"/v1/notifications/{entries[1]['id']}/replay", status=202)
        async with database.session() as db:
            batch, _ = await stored_first.next_ones(db, after=None, limit=10)

    expected = [parse_id(Prefix.NOTIFICATION, entry["id"]) for entry in entries]
    assert [one.notification_id for one in batch] == expected
    await shop.raised_in_time("created", "activated", "suspended")


async def freeze(database: Database, shop: Shop) -> None:
    async with database.transaction() as db:
        assert await freezing.freeze(db, parse_id(Prefix.ACCOUNT, shop.account))


async def test_one_about_two_merchants_is_not_answered_while_one_of_them_is_moved(
    operator: Api, database: Database
) -> None:
    moving, other = await a_shop(operator), await a_shop(operator)
    made = await operator.put("/v1/providers/upstream", {"kind": "mapping", "settings": {"document": LIST}})
    upstream = Upstream(operator, made["inboundUrl"])
    await an_esim(moving, "A")
    await an_esim(other, "B")
    await an_esim(other, "C")
    await freeze(database, moving)

    about_both = await upstream.notify({"list": [{"sim": "B", "state": "live"}, {"sim": "A", "state": "live"}]})
    about_another = await upstream.notify({"list": [{"sim": "B", "state": "live"}, {"sim": "C", "state": "live"}]})

    assert (about_both.status, about_another.status) == (503, 200)
    await other.raised_in_time("created", "created", "activated", "activated")
    assert len(await upstream.journal()) == 1


async def test_of_a_request_that_speaks_of_a_merchant_who_is_moved_nothing_is_stored(
    operator: Api, database: Database
) -> None:
    moving, other = await a_shop(operator), await a_shop(operator)
    await freeze(database, moving)
    updates = [
        {"account": shop.account, "mode": "test", "transactionId": "t-1", "esimStatus": status}
        for shop, status in ((other, "CREATED"), (other, "IN_USE"), (moving, "CREATED"))
    ]
    headers = {"content_type": "application/json", "prefer": "respond-async"}

    answer = await operator.raw("POST", "/v1/updates", json.dumps({"updates": updates}).encode(), **headers)
    rest = await operator.raw("POST", "/v1/updates", json.dumps({"updates": updates[:1]}).encode(), **headers)

    assert (answer.status, rest.status) == (503, 202)
    await other.raised_in_time("created")
    assert len((await operator.get("/v1/notifications?source=updates"))["data"]) == 1
