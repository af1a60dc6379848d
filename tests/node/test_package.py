"""The TypeScript package: believes a running server and nobody else, and packs into what a user installs."""

import asyncio
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from api import Api, a_merchant, eventually
from esimhooks import EventType
from esimhooks.signing import new_secret
from examples.example_process import ROOT, example, passes_every_check
from reserved_port import ReservedPort

PACKAGE = ROOT / "sdk" / "typescript"
RECEIVER = ["node", str(PACKAGE / "examples" / "receiver.js")]

pytestmark = [pytest.mark.slow(reason="starts Node processes"), pytest.mark.timeout(60)]


async def test_every_event_of_a_running_server_verifies(operator: Api, tmp_path: Path) -> None:
    with ReservedPort() as port:  # the secret is made with the address: the server has to know it before it listens
        merchant = await a_merchant(operator, webhook_url=f"http://127.0.0.1:{port.number}/hooks")
        environment = {"ESIMHOOKS_WEBHOOK_SECRET": str(merchant.secret), "PORT": str(port.number)}

        with example(RECEIVER, tmp_path / "output", environment) as running:
            await running.started()
            async with operator.as_key(merchant.key) as key:
                for event in EventType:
                    await key.post("/v1/test-events", {"event": event})

            async def all_told() -> bool:
                return all(f"{event} esim_" in running.printed() for event in EventType)

            await eventually(all_told)


async def test_the_example_of_the_package_passes_every_check(tmp_path: Path) -> None:
    secret = new_secret()

    with example(RECEIVER, tmp_path / "output", {"ESIMHOOKS_WEBHOOK_SECRET": secret, "PORT": "0"}) as running:
        await running.started()
        await asyncio.to_thread(passes_every_check, f"{running.url}/hooks", secret)


def test_what_is_packed_can_be_imported_and_holds_nothing_else(tmp_path: Path) -> None:
    packed = subprocess.run(
        ["npm", "pack", "--ignore-scripts", "--json", "--pack-destination", tmp_path],
        cwd=PACKAGE,
        capture_output=True,
        check=True,
        text=True,
    )
    [archive] = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as opened:
        names = [name.removeprefix("package/") for name in opened.getnames()]
        opened.extractall(tmp_path / "node_modules", filter="data")
    (tmp_path / "node_modules" / "package").rename(tmp_path / "node_modules" / "esimhooks")
    imported = subprocess.run(
        [
            "node",
            "--input-type=module",
            "-e",
            "import { EVENT_TYPES } from 'esimhooks'; console.log(EVENT_TYPES.length)",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )

    assert imported.stdout == "8\n"
    assert json.loads(packed.stdout)
    assert {name for name in names if not name.startswith("dist/")} == {"LICENSE", "README.md", "package.json"}
    assert "dist/index.d.ts" in names
    assert not json.loads((PACKAGE / "package.json").read_text()).get("dependencies")
