"""Behind a pooler in transaction mode: nothing is left behind in a session, and nodes find each other's work without LISTEN.

The pooler itself is tried by hand, with `python -m reliability.pooler`; here each transaction says what it needs by itself.
"""

from contextlib import suppress

from api import Api, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key
from receiver import Receiver
from web.rows import an_esim


async def test_what_a_transaction_needs_ends_with_it(migrated: str) -> None:
    database = await connect(migrated, Cipher([new_key()]), connections=1, pooled=True)
    for lend in (database.session, database.transaction, database.snapshot):
        async with lend() as db:
            assert await db.conn.fetchval("SHOW enable_seqscan") == "off"
            assert await db.conn.fetchval("SHOW timezone") == "UTC"
            assert await db.conn.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
    async with database.snapshot() as db:
        assert await db.conn.fetchval("SHOW transaction_isolation") == "repeatable read"
    async with database._acquire() as db:
        assert await db.conn.fetchval("SHOW enable_seqscan") == "on"
        assert (
            await db.conn.fetchval(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            )
            == 0
        )
    await database.close()


async def undone(database: Database, followed: list[str]) -> None:
    with suppress(ZeroDivisionError):
        async with database.session() as db:
            await db.conn.execute("INSERT INTO pooled_try VALUES (1)")
            db.after_commit(lambda: followed.append("second"))
            raise ZeroDivisionError


async def test_what_is_undone_is_undone_and_what_is_to_follow_a_commit_follows_it(migrated: str) -> None:
    database = await connect(migrated, Cipher([new_key()]), connections=1, pooled=True)
    followed: list[str] = []
    async with database.transaction() as db:
        await db.conn.execute("CREATE TABLE pooled_try (one int)")
        db.after_commit(lambda: followed.append("first"))
    await undone(database, followed)
    async with database.session() as db:
        assert await db.conn.fetchval("SELECT count(*) FROM pooled_try") == 0
        await db.conn.execute("DROP TABLE pooled_try")
    await database.close()
    assert followed == ["first"]


async def test_two_pooled_nodes_take_in_deliver_and_recover_without_listening(
    settings: Settings, receiver: Receiver
) -> None:
    pooled = settings.model_copy(update={"database_pooled": True})
    sending = pooled.model_copy(update={"roles": frozenset({"dispatcher", "scheduler"})})
    taking = pooled.model_copy(update={"roles": frozenset({"api"})})
    async with running(sending), running(taking) as node, Api(node.url, node.admin_key) as operator:
        merchant = await a_merchant(operator, webhook_url=receiver.url())
        for _ in range(5):
            await an_esim(operator, merchant.account, "test")
        await receiver.wait_for(5)
        query = f"account={merchant.account}&mode=test"
        path = f"/v1/endpoints/{merchant.endpoint}"
        body = {"from": "2020-01-01T00:00:00Z", "statuses": ["delivered"]}
        begun = await operator.post(f"{path}/recover?{query}", body, status=202)

        async def finished() -> bool:
            return bool((await operator.get(f"{path}/recoveries/{begun['id']}?{query}"))["finishedAt"])

        await eventually(finished)
        await receiver.wait_for(10)
        assert (await operator.call("GET", "/readyz")).status == 200
