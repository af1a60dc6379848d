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

            async def all_printed() -> bool:
                return all(f"{event} esim_" in running.printed() for event in EventType)

            await eventually(all_printed)


async def test_the_example_of_the_package_passes_every_check(tmp_path: Path) -> None:
    secret = new_secret()

    with example(RECEIVER, tmp_path / "output", {"ESIMHOOKS_WEBHOOK_SECRET": secret, "PORT": "0"}) as running:
        await running.started()
        await asyncio.to_thread(passes_every_check, f"{running.url}/hooks", secret)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder that has the packed package in its node_modules, and the names of the files that it holds."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(
        ["npm", "pack", "--ignore-scripts", "--pack-destination", folder], cwd=PACKAGE, capture_output=True, check=True
    )
    [archive] = folder.glob("*.tgz")
    with tarfile.open(archive) as opened:
        names = [name.removeprefix("package/") for name in opened.getnames()]
        opened.extractall(folder / "node_modules", filter="data")
    (folder / "node_modules" / "package").rename(folder / "node_modules" / "esimhooks")
    return folder, names


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("module", "import {{ {name} }} from '{entry}'; console.log(typeof {name})"),
        ("commonjs", "const {{ {name} }} = require('{entry}'); console.log(typeof {name})"),
    ],
)
@pytest.mark.parametrize(("entry", "name"), [("esimhooks", "Webhook"), ("esimhooks/receiver", "Receiver")])
def test_what_is_packed_can_be_imported_and_required(
    installed: tuple[Path, list[str]], kind: str, code: str, entry: str, name: str
) -> None:
    words = ["node", f"--input-type={kind}", "-e", code.format(name=name, entry=entry)]

    done = subprocess.run(words, cwd=installed[0], capture_output=True, check=True, text=True)

    assert done.stdout == "function\n"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("esm", ["--module", "nodenext"]),
        ("commonjs", ["--module", "node16"]),
        ("bundler", ["--module", "esnext", "--moduleResolution", "bundler"]),
    ],
)
def test_its_types_are_found_by_every_kind_of_project(
    installed: tuple[Path, list[str]], kind: str, options: list[str]
) -> None:
    folder = installed[0] / kind
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps({"type": "commonjs" if kind == "commonjs" else "module"}))
    (folder / "main.ts").write_text(
        'import { Webhook } from "esimhooks";\nimport { Receiver } from "esimhooks/receiver";\n'
        'const receiver = new Receiver({ secret: new Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), inbox: "sqlite:///inbox.db" });\n'
        'receiver.on("esim.data_updated", (event) => console.log(event.data.iccid, event.thresholds?.length));\n'
    )
    types = PACKAGE / "node_modules" / "@types"
    words: list[str | Path] = [
        PACKAGE / "node_modules" / ".bin" / "tsc",
        "--noEmit",
        "--strict",
        "--typeRoots",
        types,
        "--types",
        "node",
    ]

    done = subprocess.run([*words, *options, "main.ts"], cwd=folder, capture_output=True, check=False, text=True)

    assert done.returncode == 0, done.stdout


def test_it_packs_what_was_built_and_nothing_else(installed: tuple[Path, list[str]]) -> None:
    _, names = installed

    assert {name for name in names if not name.startswith("dist/")} == {"LICENSE", "README.md", "package.json"}
    assert {"dist/esm/index.d.ts", "dist/cjs/receiver/index.d.ts", "dist/cjs/package.json"} <= set(names)
    assert not json.loads((PACKAGE / "package.json").read_text()).get("dependencies")
