"""Backup and restore, as docs/operating.md has it: what was there is served again, and what waited arrives."""

import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from api import Api, a_merchant, eventually
from cli.processes import done, environment
from conftest import POSTGRES
from esimhooks.server.app.checkup import examine
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.embedded import packaged_programs
from receiver import Receiver, status

PROGRAMS = Path(POSTGRES) if POSTGRES else packaged_programs()
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


@pytest.mark.slow(reason="starts an embedded PostgreSQL, and two nodes one after the other")
@pytest.mark.timeout(120)
async def test_an_embedded_database_moves_to_ones_own_with_two_commands(empty: str, tmp_path: Path) -> None:
    file = str(tmp_path / "esimhooks.dump")
    # Not pytest's tmp_path: PostgreSQL does not run as root, and its own user cannot pass that folder.
    with tempfile.TemporaryDirectory(prefix="esimhooks-tests-") as folder:
        embedded = Settings.read(data_dir=folder, port=0, log_level="warning")
        async with running(embedded) as node, Api(node.url, node.admin_key) as operator:
            merchant = await a_merchant(operator, webhook_url="https://hooks.example.com/esims")
            before = await looked_into(embedded)
            await command("backup", file, variables=environment(ESIMHOOKS_DATA_DIR=folder))
            after = await looked_into(embedded)
        keys = {name: _made(folder, name) for name in ("encryption", "admin")}
    own = {"ESIMHOOKS_DATABASE_URL": empty, "ESIMHOOKS_DATA_DIR": str(tmp_path)}
    wrong = await command("restore", file, variables=environment(**own), code=1)
    own |= {"ESIMHOOKS_ENCRYPTION_KEY": keys["encryption"]}

    await command("restore", file, variables=environment(**own))
    again = await command("restore", file, variables=environment(**own), code=1)

    moved = Settings.read(
        database_url=empty,
        data_dir=tmp_path,
        port=0,
        encryption_key=keys["encryption"],
        admin_key=keys["admin"],
        log_level="warning",
    )
    async with running(moved) as node, Api(node.url, merchant.key) as caller:
        secret = await caller.get(f"/v1/endpoints/{merchant.endpoint}/secret")
    assert mode_of(file) == 0o600
    assert (before, after) == ("none with `esimhooks backup` yet", "the last one with `esimhooks backup` is 0 days old")
    assert "ESIMHOOKS_ENCRYPTION_KEY is needed" in wrong
    assert "restore into an empty one" in again
    assert secret["secret"] == merchant.secret


async def looked_into(settings: Settings) -> str:
    [seen] = [one.seen async for one in examine(settings) if one.check == "backup"]
    return seen


def mode_of(file: str) -> int:
    return Path(file).stat().st_mode & 0o777


def _made(folder: str, name: str) -> str:
    return (Path(folder) / f"{name}.key").read_text().strip()


async def command(*words: str, variables: Mapping[str, str], code: int = 0) -> str:
    ended = await done(*words, variables=variables)
    assert ended.code == code, ended
    return ended.out + ended.err


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
