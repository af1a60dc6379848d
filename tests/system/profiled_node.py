"""A node that says which files of ours it ran: a program, and what starts it.

Each line on its standard input ends a section. Out comes the list of files whose functions ran since the line before, in
the order of their first call, as one line of JSON.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Self

import esimhooks
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from system.node_process import variables_of

SOURCE = f"{Path(esimhooks.__file__).parent}{os.sep}"


class ProfiledNode:
    """The process, and the files that it ran."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        environment = os.environ | variables_of(settings)
        self._process = subprocess.Popen(
            (sys.executable, __file__),
            env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def __aenter__(self) -> Self:
        self.url, self.admin_key = await self._read_line()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.communicate()

    async def files(self) -> list[str]:
        """Return the files that ran since this was called last, relative to the package, by their first call."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return await self._read_line()

    async def _read_line(self) -> list[str]:
        assert self._process.stdout is not None
        values: list[str] = json.loads(await asyncio.to_thread(self._process.stdout.readline))
        return values


async def _main() -> None:
    ran: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(SOURCE):
            ran[frame.f_code.co_filename] = None

    async with running(Settings.read()) as node:
        print(json.dumps([node.url, node.admin_key]), flush=True)
        sys.setprofile(note)
        while await asyncio.to_thread(sys.stdin.readline):
            files = [path.removeprefix(SOURCE) for path in ran]
            ran.clear()
            print(json.dumps(files), flush=True)
        sys.setprofile(None)


if __name__ == "__main__":
    asyncio.run(_main())
