"""The tutorial as somebody follows it: its program is started as it stands, and each command prints what the page says.

`...` on the page stands for anything, and in a command for the last id of that kind that was printed.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api import Api, a_merchant, eventually
from cli.terminal import shown_by
from docs.samples import ALL, ROOT
from reserved_port import ReservedPort, listens

PAGE = "docs/quick-start.md"
BIN = Path(sys.executable).parent


def exchanges(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a block with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def fits(expected: str, printed: str) -> bool:
    lines = (re.sub(r"\s+", " ", line).strip() for line in expected.strip().splitlines())
    pattern = r"\n".join(re.escape(line).replace(r"\.\.\.", ".*") for line in lines)
    normal = "\n".join(re.sub(r"\s+", " ", line).strip() for line in printed.strip().splitlines())
    return re.fullmatch(pattern, normal) is not None


class Terminal:
    """Runs commands, and remembers the ids that they have printed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._ids: dict[str, str] = {}

    async def types(self, command: str) -> str:
        filled = re.sub(r"\b([a-z]+_)\.\.\.", lambda found: self._ids[found[1]], command)
        output = await asyncio.to_thread(
            shown_by, ["bash", "-c", filled], columns=80, environment=self._environment, timeout_s=30
        )
        self._ids |= {found[1]: found[0] for found in re.finditer(r"\b([a-z]+_)[0-9a-z]{26}\b", output)}
        return output


@asynccontextmanager
async def receiver_of_the_page(folder: Path, secret: str, port: int) -> AsyncIterator[None]:
    [program] = [one.text for one in ALL if one.page == PAGE and one.language == "python"]
    (folder / "receiver.py").write_text(program.replace("whsec_...", secret))
    process = await asyncio.create_subprocess_exec(
        *(BIN / "uvicorn", "receiver:receiver", "--port", str(port), "--log-level", "warning"), cwd=folder
    )
    try:
        await eventually(lambda: listens(port))
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.slow(reason="each command is a process of its own")
@pytest.mark.timeout(120)
async def test_every_command_of_the_tutorial_prints_what_it_says(operator: Api, tmp_path: Path) -> None:
    nothing_listens, *rest = [one.text for one in ALL if one.page == PAGE and one.language == "console"]
    with ReservedPort() as reserved:
        merchant = await a_merchant(operator, webhook_url=f"http://127.0.0.1:{reserved.number}/hooks")
        own = {"ESIMHOOKS_URL": operator.url, "ESIMHOOKS_API_KEY": merchant.key, "PATH": f"{BIN}:{os.environ['PATH']}"}
        terminal = Terminal(own | {"TERM": "dumb"})  # no progress that is overwritten
        wrong = [await _differs(terminal, *one) for one in exchanges(nothing_listens)]
        async with receiver_of_the_page(tmp_path, merchant.secret or "", reserved.number):
            for block in rest:
                wrong += [await _differs(terminal, *one) for one in exchanges(block)]

    assert [one for one in wrong if one] == []
    assert (ROOT / PAGE).exists()


async def _differs(terminal: Terminal, command: str, expected: str) -> str:
    printed = await terminal.types(command)
    return "" if fits(expected, printed) else f"{command}\n{printed}"
