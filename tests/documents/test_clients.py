"""Clients that other people's generators make of the OpenAPI document: they are made, type-checked, and call a server.

They need packages of their own: `make validate-api`.
"""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from api import Api, Json

FOLDER = Path(__file__).parents[2] / "tools" / "validate_api"
PYTHON = FOLDER / ".venv" / "bin"
NODE = FOLDER / "node_modules"
ONLY_WARNING = "Unsupported content_type image/png"
"""Of the Python generator: it makes no operation whose answer is a picture."""

pytestmark = [pytest.mark.slow(reason="generates and checks a whole client"), pytest.mark.timeout(300)]


async def run(*command: str | Path, folder: Path) -> str:
    """Run a command in the folder; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": f"{PYTHON}:/usr/local/bin:/usr/bin:/bin"},
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def described(operator: Api, folder: Path) -> None:
    (folder / "openapi.json").write_text(json.dumps(await operator.get("/openapi.json")))


def answered(printed: str, name: str) -> None:
    output: Json = json.loads(printed)
    assert output == {"account": name, "accounts": [name], "secret": True, "timeout": 2.5, "deliveries": 0}


async def test_a_python_client_is_generated_and_works(operator: Api, tmp_path: Path) -> None:
    await described(operator, tmp_path)
    printed = await run(
        *(PYTHON / "openapi-python-client", "generate", "--path", "openapi.json"),
        *("--output-path", "client", "--meta", "none", "--config", FOLDER / "generator.yml"),
        folder=tmp_path,
    )
    assert printed.count("WARNING") == printed.count(ONLY_WARNING) == 1, printed

    shutil.copy(FOLDER / "calls.py", tmp_path)
    await run(PYTHON / "mypy", "calls.py", "client", folder=tmp_path)
    answered(await run(PYTHON / "python", "calls.py", operator.url, operator.key, folder=tmp_path), "Python")


async def test_a_typescript_client_is_generated_and_works(operator: Api, tmp_path: Path) -> None:
    await described(operator, tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for name in ("calls.ts", "tsconfig.json"):
        shutil.copy(FOLDER / name, tmp_path)

    await run(NODE / ".bin" / "openapi-typescript", "openapi.json", "-o", "schema.d.ts", folder=tmp_path)
    await run(NODE / ".bin" / "tsc", folder=tmp_path)
    answered(await run("node", "calls.js", operator.url, operator.key, folder=tmp_path), "TypeScript")
