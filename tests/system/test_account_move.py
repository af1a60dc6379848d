"""An account moves from one installation to another, as docs/scaling.md has it: nothing is lost, nothing is made twice."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from api import Api, Json, Merchant, a_merchant, eventually
from esimhooks import Webhook
from esimhooks.server.app.account_file import export_account, import_account, unfreeze_account
from esimhooks.server.app.node import running
from esimhooks.server.app.prepare import migrate
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store import account_rows, freezing
from esimhooks.server.store.database import Database
from esimhooks.server.store.encryption import new_key
from receiver import Receiver, hang
from system.node_process import environment_of
from system.test_backup import command
from upstream import esim_status, order_ready
from web.rows import an_esim

OTHER = "other_installation"
LIFE = ("CREATED", "IN_USE", "SUSPENDED", "IN_USE", "EXPIRED")
PROVIDER = {"kind": "esimaccess", "baseUrl": "http://127.0.0.1:1", "credentials": {"accessCode": "code"}}
STAY_BEHIND = {"portal_links", "portal_sessions", "frozen_accounts"}
"""Sessions of people, and what says that the account is frozen."""


@pytest.fixture
async def there(postgres: str, settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """The settings of another installation: a database, an operator's key and an encryption key of its own."""
    server = await asyncpg.connect(postgres)
    await server.execute(f"CREATE DATABASE {OTHER}")
    address = SecretStr(urlsplit(postgres)._replace(path=f"/{OTHER}").geturl())
    other = settings.model_copy(
        update={
            "database_url": address,
            "listen_url": address,
            "data_dir": tmp_path / "there",
            "admin_key": SecretStr("an-operator-key-of-forty-characters-00002"),
            "encryption_key": [SecretStr(new_key())],
        }
    )
    await migrate(other)
    yield other
    await server.execute(f"DROP DATABASE {OTHER} WITH (FORCE)")
    await server.close()


class Sender:
    """Hands in the lives of eSIMs at whichever installation has the account now, until each is acknowledged."""

    def __init__(self, target: Api, account: str) -> None:
        self.target = target
        self.acknowledged: list[tuple[Json, list[str]]] = []
        """Each update with its events."""
        self.outcomes: Counter[str] = Counter()
        self._account = account
        self._chance = Random(7)

    async def live(self, number: int) -> None:
        """Tell the life of one eSIM; now and then the same twice."""
        for step, word in enumerate(LIFE):
            update = {
                "transactionId": f"t-{number}",
                "iccid": f"8943{number:015d}",
                "esimStatus": word,
                "occurredAt": f"2026-01-01T00:00:{step:02d}Z",
            }
            await self.hand_in(update)
            if self._chance.random() < 0.3:
                await self.hand_in(update)

    async def hand_in(self, update: Json) -> None:
        """Hand in an update until it is taken, as one does after a 503."""
        body = {"account": self._account, "mode": "test", "updates": [update]}

        async def taken() -> Json:
            answer = await self.target.call("POST", "/v1/updates", body)
            if answer.status == 200 and answer.body["results"][0]["outcome"] != "invalid":
                return answer.body["results"][0]
            assert answer.status in (200, 503), answer
            self.outcomes[f"{answer.status} meanwhile"] += 1
            return None

        result = await eventually(taken)
        self.outcomes[result["outcome"]] += 1
        if result["outcome"] == "applied":
            assert update not in [one for one, _ in self.acknowledged], "applied twice"
            self.acknowledged.append((update, result["events"]))


@pytest.mark.slow(reason="runs two installations and moves an account between them under load")
@pytest.mark.timeout(120)
async def test_an_account_moves_under_load_and_every_event_arrives_exactly_once(
    settings: Settings, there: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / "acme"
    async with (
        running(settings) as old_node,
        running(there) as new_node,
        Api(old_node.url, old_node.admin_key) as old,
        Api(new_node.url, new_node.admin_key) as new,
    ):
        merchant = await a_merchant(old, webhook_url=receiver.url())
        async with old.as_key(merchant.key) as caller:
            later = await caller.post("/v1/endpoints", {"url": receiver.url("/later")})
            await caller.call("POST", f"/v1/endpoints/{later['id']}/pause")
        sender = Sender(old, merchant.account)
        numbers = count()
        stop = asyncio.Event()

        async def lives() -> None:
            while not stop.is_set():
                await sender.live(next(numbers))

        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(lives())
            await receiver.wait_for(60)
            output = await command(
                "accounts", "export", merchant.account, str(file), variables=environment_of(settings)
            )
            before = len(receiver.received)
            await command("accounts", "import", str(file), variables=environment_of(there))
            sender.target = new
            await receiver.wait_for(before + 60)
            stop.set()
        async with new.as_key(merchant.key) as caller:
            await caller.call("POST", f"/v1/endpoints/{later['id']}/resume")
        wanted = Counter(event for _, made in sender.acknowledged for event in made)

        async def arrived() -> bool:
            return await unfinished(new, merchant.account) == 0

        await eventually(arrived)
        again = Sender(new, merchant.account)
        for update, _ in sender.acknowledged[:20]:
            await again.hand_in(update)
    at_hook = [one for one in receiver.received if one.path == "/hook"]
    at_later = [one for one in receiver.received if one.path == "/later"]
    assert "is frozen" in output
    assert sender.outcomes["503 meanwhile"] > 0
    assert set(wanted.values()) == {1}
    assert Counter(one.headers["webhook-id"] for one in at_hook) == wanted
    assert Counter(one.headers["webhook-id"] for one in at_later) == wanted
    for one in at_hook:
        Webhook(merchant.secret or "").verify(one.body, one.headers)
    for one in at_later:
        Webhook(later["secret"]).verify(one.body, one.headers)
    assert again.outcomes == {"duplicate": 20}


async def unfinished(operator: Api, account: str) -> int:
    found = await operator.get(f"/v1/deliveries?account={account}&mode=test&status=pending")
    return len(found["data"])


async def refused(answer: Awaitable[Any]) -> int:
    answered = await answer
    assert "being moved" in answered.body["detail"]
    return int(answered.status)


async def moved_out(settings: Settings, merchant: Merchant, file: Path) -> None:
    account_id = parse_id(Prefix.ACCOUNT, merchant.account)
    await export_account(settings, account_id, file, file.with_suffix(".key"), waiting=lambda _: None)


async def test_a_frozen_account_takes_nothing_in_changes_nothing_and_goes_on_where_it_is_unfrozen(
    settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        merchant = await a_merchant(operator, webhook_url=receiver.url())
        neighbour = await a_merchant(operator, webhook_url=receiver.url("/neighbour"))
        address = (await operator.put("/v1/providers/upstream", PROVIDER))["inboundUrl"]
        esim = await an_esim(operator, merchant.account, "test", provider="upstream", esimTranNo="k-1")
        await receiver.wait_for(1)
        await moved_out(settings, merchant, tmp_path / "acme")
        body = {"account": merchant.account, "mode": "test"}
        known = {"esimTranNo": "k-1", "esimStatus": "SUSPENDED"}
        of_neighbour = {"account": neighbour.account, "transactionId": "t-9", "esimStatus": "CREATED", "mode": "test"}
        inbound = urlsplit(address).path
        async with operator.as_key(merchant.key) as caller:
            codes = [
                await refused(operator.call("POST", "/v1/updates", body | {"updates": [known]})),
                await refused(operator.call("POST", "/v1/updates", {"updates": [known, of_neighbour]})),
                await refused(operator.call("POST", inbound, esim_status("k-1", "SUSPENDED"))),
                await refused(operator.call("POST", inbound, esim_status("k-1", "REVOKED"))),
                await refused(caller.call("PATCH", f"/v1/endpoints/{merchant.endpoint}", {"name": "other"})),
                await refused(caller.call("POST", "/v1/test-events", {"event": "esim.activated"})),
                await refused(
                    operator.call("POST", f"/v1/accounts/{merchant.account}/keys", {"mode": "test", "name": "second"})
                ),
            ]
            shown = (await caller.get(f"/v1/esims/{esim['esim']}"))["esimStatus"]
        frozen_at = (await operator.get(f"/v1/accounts/{merchant.account}"))["frozenAt"]
        await an_esim(operator, neighbour.account, "test")
        await unfreeze_account(settings, parse_id(Prefix.ACCOUNT, merchant.account))
        await operator.post("/v1/updates", body | {"updates": [known]}, status=200)
        await eventually(lambda: came(receiver, "/hook", 2))
        await eventually(lambda: came(receiver, "/neighbour", 2))
    assert codes == [503] * 7
    assert shown == "IN_USE"
    assert frozen_at is not None


async def test_a_notification_of_another_provider_that_uses_the_same_number_of_an_order_is_taken_in(
    settings: Settings, operator: Api, tmp_path: Path
) -> None:
    merchant = await a_merchant(operator)
    await operator.put("/v1/providers/upstream", PROVIDER)
    of_other = urlsplit((await operator.put("/v1/providers/other", PROVIDER))["inboundUrl"]).path
    await an_esim(operator, merchant.account, "test", provider="upstream", orderNo="B1", esimTranNo="k-1")
    await moved_out(settings, merchant, tmp_path / "acme")

    answers = [
        await operator.call("POST", of_other, order_ready("B1")),
        await operator.call("POST", of_other, esim_status("k-1", "REVOKED")),
    ]

    assert [answer.status for answer in answers] == [200, 200]


async def came(receiver: Receiver, path: str, number: int) -> bool:
    return len([one for one in receiver.received if one.path == path]) == number


async def test_an_import_is_made_once_and_whole_or_not_at_all(
    settings: Settings, there: Settings, operator: Api, receiver: Receiver, tmp_path: Path
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await operator.put("/v1/providers/upstream", PROVIDER)
    await an_esim(operator, merchant.account, "test", provider="upstream")
    whole, key = tmp_path / "acme", tmp_path / "acme.key"
    await moved_out(settings, merchant, whole)
    cut, swapped, other_key = tmp_path / "cut", tmp_path / "swapped", tmp_path / "other.key"
    head, *lines = whole.read_bytes().splitlines(keepends=True)
    cut.write_bytes(head + b"".join(lines[:-1]))
    swapped.write_bytes(head + b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    other_key.write_text(new_key())

    with pytest.raises(Broken, match="the provider upstream \\(esimaccess\\): configure it here first"):
        await import_account(there, whole, key)
    async with running(there) as node, Api(node.url, node.admin_key) as other:
        await other.put("/v1/providers/upstream", PROVIDER)
        for file, used, message in (
            (cut, key, "the file is incomplete"),
            (swapped, key, "was changed, or encrypted with another key"),
            (whole, other_key, "was changed, or encrypted with another key"),
            (key, key, "is not an exported account"),
        ):
            with pytest.raises(Broken, match=message):
                await import_account(there, file, used)
            assert (await other.get("/v1/accounts"))["data"] == []
        end = await import_account(there, whole, key)
        with pytest.raises(Broken, match="already exists here: nothing was imported"):
            await import_account(there, whole, key)
        async with other.as_key(merchant.key) as caller:
            [esim] = (await caller.get("/v1/esims"))["data"]
            secret = (await caller.get(f"/v1/endpoints/{merchant.endpoint}/secret"))["secret"]
    assert (end.counts["esims"], end.counts["endpoints"]) == (1, 1)
    assert (esim["ac"], secret) == ("LPA:1$smdp.example.com$CODE-0001", merchant.secret)
    assert [one.stat().st_mode & 0o777 for one in (whole, key)] == [0o600, 0o600]
    shown = b"".join([whole.read_bytes(), *map(base64.b64decode, lines)])
    assert not any(secret in shown for secret in ((merchant.secret or "").encode(), b"CODE-0001"))


async def test_what_came_to_the_other_installation_meanwhile_is_applied_there_once(
    settings: Settings, there: Settings, operator: Api, receiver: Receiver, tmp_path: Path
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    here = urlsplit((await operator.put("/v1/providers/upstream", PROVIDER))["inboundUrl"]).path
    await an_esim(operator, merchant.account, "test", provider="upstream", esimTranNo="k-1")
    words = ("SUSPENDED", "IN_USE", "SUSPENDED", "IN_USE")
    before = [esim_status("k-1", word) | {"notifyId": f"n-{number}"} for number, word in enumerate(words)]
    del before[2]["notifyId"]
    meanwhile = esim_status("k-1", "SUSPENDED") | {"notifyId": "n-4"}
    async with running(there) as node, Api(node.url, node.admin_key) as other:
        elsewhere = urlsplit((await other.put("/v1/providers/upstream", PROVIDER))["inboundUrl"]).path
        for notification in before:
            assert (await operator.call("POST", here, notification)).status == 200
            assert (await other.call("POST", elsewhere, notification)).status == 200
        await receiver.wait_for(5)
        await moved_out(settings, merchant, tmp_path / "acme")
        assert (await operator.call("POST", here, meanwhile)).status == 503
        assert (await other.call("POST", elsewhere, meanwhile)).status == 200
        await import_account(there, tmp_path / "acme", tmp_path / "acme.key")
        await receiver.wait_for(6)
        async with other.as_key(merchant.key) as caller:
            events = [one["event"] for one in (await caller.get("/v1/events"))["data"]]
    assert (len(events), len(receiver.received)) == (6, 6)
    assert events[0] == "esim.suspended"


async def test_an_account_comes_back_to_where_its_history_still_is(
    settings: Settings, there: Settings, operator: Api, receiver: Receiver, tmp_path: Path
) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    await operator.call("PATCH", f"/v1/accounts/{merchant.account}/branding", {"name": "Acme Travel"})
    await an_esim(operator, merchant.account, "test", transactionId="t-1")
    tenant = f"account={merchant.account}&mode=test"

    async def delivered() -> Json:
        return (await operator.get(f"/v1/deliveries?{tenant}&status=delivered"))["data"]

    async def history() -> list[Json]:
        return [await operator.get(f"/v1/{kind}?{tenant}") for kind in ("events", "deliveries")]

    await eventually(delivered)
    before = await history()
    await moved_out(settings, merchant, tmp_path / "away")
    await import_account(there, tmp_path / "away", tmp_path / "away.key")
    assert (await operator.call("DELETE", f"/v1/accounts/{merchant.account}")).status == 204
    await moved_out(there, merchant, tmp_path / "back")

    await import_account(settings, tmp_path / "back", tmp_path / "back.key")

    assert await history() == before
    update = {"transactionId": "t-1", "esimStatus": "SUSPENDED"}
    body = {"account": merchant.account, "mode": "test", "updates": [update]}
    [result] = (await operator.post("/v1/updates", body, status=200))["results"]
    assert result["outcome"] == "applied"
    await receiver.wait_for(2)


async def test_an_export_that_is_stopped_while_it_waits_for_attempts_lets_the_account_go_on(
    settings: Settings, operator: Api, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer("/hook", script=[hang()])
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        await caller.post("/v1/endpoints", {"url": receiver.url(), "timeout": 2})
    await an_esim(operator, merchant.account, "test")
    await receiver.wait_for(1)
    account_id, file = parse_id(Prefix.ACCOUNT, merchant.account), tmp_path / "acme"

    def stopped(_count: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await export_account(settings, account_id, file, file.with_suffix(".key"), waiting=stopped)

    assert (await operator.get(f"/v1/accounts/{merchant.account}"))["frozenAt"] is None


async def test_freezing_waits_for_what_is_being_taken_in(settings: Settings, database: Database, operator: Api) -> None:
    merchant = await a_merchant(operator)
    account_id = parse_id(Prefix.ACCOUNT, merchant.account)
    async with database.transaction() as db:
        assert await db.conn.fetch("SELECT read_frozen_accounts()") == []
        with pytest.raises(NotNow, match="has not ended yet"):
            async with database.transaction() as other:
                await freezing.freeze(other, account_id)
    async with database.transaction() as db:
        assert await freezing.freeze(db, account_id)
    async with database.transaction() as db:
        assert len(await db.conn.fetch("SELECT read_frozen_accounts()")) == 1


async def test_every_table_with_rows_of_an_account_moves_or_is_known_to_stay(database: Database) -> None:
    async with database.session() as db:
        rows = await db.conn.fetch(
            """
            SELECT DISTINCT table_name FROM information_schema.columns
            WHERE table_schema = current_schema() AND column_name IN ('account_id', 'key_id', 'notification_id', 'esim_id')
            """
        )
    partitioned = ("notifications_", "events_", "deliveries_", "attempts_")
    found = {row["table_name"] for row in rows if not row["table_name"].startswith(partitioned)}
    assert found - {table.name for table in account_rows.TABLES} - STAY_BEHIND == {"provider_doubts"}
