"""Replacing the encryption key: everything is encrypted anew, whatever interrupts it, and then the old key may go."""

import asyncio
import json
import signal

import pytest

from api import Api, Json, a_merchant, eventually
from cli.processes import PROGRAM
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.errors import Broken
from esimhooks.server.jobs.rekey import rekey_all
from esimhooks.server.store import rekey
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.server.store.rekey import ENCRYPTED_COLUMNS
from receiver import Receiver
from store.locks import until_somebody_waits
from system.node_process import environment_of

CODE = "LPA:1$smdp.example.com$CODE-0001"


def with_keys(settings: Settings, *keys: str) -> Settings:
    return settings.model_copy(update={"encryption_key": Settings.read(encryption_key=",".join(keys)).encryption_key})


def old_key(settings: Settings) -> str:
    return settings.encryption_key[0].get_secret_value()


async def filled(operator: Api, receiver: Receiver) -> tuple[str, Json]:
    """Make a row of every encrypted kind; return the tenant's query and the eSIM."""
    merchant = await a_merchant(operator)
    tenant = f"account={merchant.account}&mode=test"
    await operator.call("POST", f"/v1/endpoints?{tenant}", {"url": receiver.url()}, idempotency_key="once-1")
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess", "credentials": {"accessCode": "code-1"}})
    update = {"transactionId": "t-1", "esimStatus": "CREATED", "ac": CODE}
    body = {"account": merchant.account, "mode": "test", "updates": [update]}
    await operator.post("/v1/updates", body, status=200)

    async def delivered() -> bool:
        rows = (await operator.get(f"/v1/deliveries?{tenant}"))["data"]
        return bool(rows) and rows[0]["status"] == "delivered"

    await eventually(delivered)
    [esim] = (await operator.get(f"/v1/esims?{tenant}"))["data"]
    return tenant, esim


async def pool_of(settings: Settings, *keys: str) -> Database:
    """Return a pool on the database of the settings with other keys."""
    assert settings.database_url is not None
    address = settings.database_url.get_secret_value()
    return await connect(address, Cipher(keys), connections=1, pooled=settings.database_pooled)


async def forget_canaries(database: Database) -> None:
    async with database.transaction() as db:
        await db.conn.execute("DELETE FROM installation WHERE name LIKE 'canary%'")


async def test_every_encrypted_column_is_gone_over(database: Database) -> None:
    async with database.session() as db:
        rows = await db.conn.fetch(
            """
            SELECT c.table_name, c.column_name FROM information_schema.columns c
            WHERE c.table_schema = 'public' AND c.column_name LIKE 'sealed%'
              AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.table_name::regclass)
            """
        )

    assert {(row["table_name"], row["column_name"]) for row in rows} == {
        (one.table, one.name) for one in ENCRYPTED_COLUMNS
    }


async def test_afterwards_the_old_key_may_go_and_before_it_is_missed(
    settings: Settings, database: Database, receiver: Receiver
) -> None:
    new, old = new_key(), old_key(settings)
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        tenant, esim = await filled(operator, receiver)
    async with running(with_keys(settings, new, old)):
        pass

    with pytest.raises(Broken, match="keep it as the last one until `esimhooks rotate-encryption` is done"):
        async with running(with_keys(settings, new)):
            pass
    pool = await pool_of(settings, new, old)
    done = await rekey_all(pool)
    again = await rekey_all(pool)
    await pool.close()

    assert (done > 0, again) == (True, 0)
    async with running(with_keys(settings, new)) as node, Api(node.url, node.admin_key) as operator:
        assert (await operator.get(f"/v1/esims/{esim['id']}?{tenant}"))["ac"] == CODE
        assert (await operator.get("/v1/notifications"))["data"] != []
        [event] = (await operator.get(f"/v1/events?{tenant}"))["data"]
        assert CODE in json.dumps(await operator.get(f"/v1/events/{event['id']}?{tenant}"))
        [endpoint] = (await operator.get(f"/v1/endpoints?{tenant}"))["data"]
        secret = await operator.get(f"/v1/endpoints/{endpoint['id']}/secret?{tenant}")
        assert secret["secret"].startswith("whsec_")
    with pytest.raises(Broken, match="does not hold the key"):
        async with running(settings):
            pass
    await forget_canaries(database)


async def test_a_value_that_cannot_be_decrypted_is_named_and_all_others_get_the_new_key(
    settings: Settings, database: Database, receiver: Receiver
) -> None:
    new, old = new_key(), old_key(settings)
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        await filled(operator, receiver)
    async with database.session() as db:
        [bad] = await db.conn.fetch("UPDATE events SET sealed_body = sealed_body || '\\x00' RETURNING id, sealed_body")
    pool = await pool_of(settings, new, old)

    with pytest.raises(Broken, match=f"cannot be decrypted: 1, the first events.body.{bad['id']}"):
        await rekey_all(pool)

    async with pool.session() as db:
        assert [column.table for column in ENCRYPTED_COLUMNS if await rekey.count_left(db, column)] == ["events"]
        assert await db.conn.fetchval("SELECT sealed_body FROM events") == bad["sealed_body"]
    await pool.close()
    await forget_canaries(database)


@pytest.mark.slow(reason="starts the program twice")
@pytest.mark.timeout(60)
async def test_a_run_that_is_killed_is_begun_again_and_ends(
    settings: Settings, database: Database, receiver: Receiver
) -> None:
    new, old = new_key(), old_key(settings)
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        tenant, esim = await filled(operator, receiver)
    environment = environment_of(settings, encryption_key=f"{new},{old}")
    command = [*PROGRAM, "rotate-encryption"]
    async with database.transaction() as db:
        # The run hangs in the middle, at the eSIM's row, and is killed there.
        await db.conn.execute("SELECT FROM esims FOR UPDATE")
        run = await asyncio.create_subprocess_exec(*command, env=environment)
        await until_somebody_waits(database)
        run.send_signal(signal.SIGKILL)
        await run.wait()

    second = await asyncio.create_subprocess_exec(*command, env=environment)

    assert await second.wait() == 0
    pool = await pool_of(settings, new)
    async with pool.session() as db:
        assert [column.table for column in ENCRYPTED_COLUMNS if await rekey.count_left(db, column)] == []
    await pool.close()
    async with running(with_keys(settings, new)) as node, Api(node.url, node.admin_key) as operator:
        assert (await operator.get(f"/v1/esims/{esim['id']}?{tenant}"))["ac"] == CODE
    await forget_canaries(database)
