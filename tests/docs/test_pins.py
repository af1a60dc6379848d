"""Pinned packages: the image installs what was tested, and known weaknesses of pins are found, or it is reported that nobody looked."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from receiver import Receiver
from reserved_port import ReservedPort
from tools import advisories

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^(\S+==\S+)[^\n]*\n((?:    --hash=\S+[^\n]*\n?)+)", re.MULTILINE)


def hashes(path: Path) -> dict[str, set[str]]:
    found = BLOCK.findall(path.read_text(encoding="utf-8"))
    return {pin: set(re.findall(r"--hash=(\S+)", text)) for pin, text in found}


def test_the_image_installs_the_files_that_were_tested() -> None:
    tested, installed = hashes(ROOT / "constraints.txt"), hashes(ROOT / "deploy" / "constraints.txt")
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")

    assert {pin.partition("==")[0] for pin in installed} >= {"asyncpg", "msgspec", "uvicorn", "cryptography"}
    assert {pin: tested.get(pin) for pin in installed} == installed
    assert "--require-hashes -r deploy/constraints.txt" in dockerfile
    assert len(re.findall(r"pip install", dockerfile)) == len(re.findall(r"--require-hashes|--no-deps", dockerfile))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a pin for Python and one for Node."""
    (tmp_path / "constraints.txt").write_text("jinja2==2.0 \\\n    --hash=sha256:00\n", encoding="utf-8")
    lock = {"packages": {"": {}, "node_modules/hono": {"version": "4.0.0"}, "node_modules/own": {"link": True}}}
    (tmp_path / "package-lock.json").write_text(json.dumps(lock), encoding="utf-8")
    return tmp_path


async def looked(project: Path, service: str) -> int:
    return await asyncio.to_thread(advisories.main, ["--root", str(project), "--service", service])


async def test_a_known_weakness_fails_until_it_is_explained(
    project: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"results": [{"vulns": [{"id": "GHSA-1"}]}, {}]}
    receiver.answer("/v1/querybatch", status=200, body=json.dumps(answer).encode())

    assert await looked(project, receiver.url("")) == 1
    assert "jinja2 2.0 (PyPI): GHSA-1: https://osv.dev/vulnerability/GHSA-1" in capsys.readouterr().out
    queries = json.loads(receiver.received[0].body)["queries"]
    assert [(one["package"]["ecosystem"], one["package"]["name"], one["version"]) for one in queries] == [
        ("PyPI", "jinja2", "2.0"),
        ("npm", "hono", "4.0.0"),
    ]
    (project / "tools").mkdir()
    (project / "tools" / "advisories.toml").write_text('"GHSA-1" = "its templates are ours"\n', encoding="utf-8")
    assert await looked(project, receiver.url("")) == 0
    assert "its templates are ours" in capsys.readouterr().out


async def test_without_a_network_what_was_known_counts_and_what_nobody_looked_at_is_named(
    project: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    with ReservedPort() as port:
        nobody = f"http://127.0.0.1:{port.number}"
        assert await looked(project, nobody) == 0
        assert "2 of 2 pins were never looked at here" in capsys.readouterr().out
        receiver.answer(
            "/v1/querybatch", status=200, body=json.dumps({"results": [{"vulns": [{"id": "GHSA-1"}]}, {}]}).encode()
        )
        await looked(project, receiver.url(""))
        with (project / "constraints.txt").open("a", encoding="utf-8") as pins:
            pins.write("msgspec==0.1 \\\n")
        capsys.readouterr()

        assert await looked(project, nobody) == 1

    output = capsys.readouterr().out
    assert "could not look at" in output
    assert "1 of 3 pins were never looked at here" in output
    assert "GHSA-1" in output
