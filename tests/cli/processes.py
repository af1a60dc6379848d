"""Commands as processes of their own, for tests whose server runs in the test's process and logs there."""

import asyncio
import os
import sys
from collections.abc import Mapping

from cli.canned import Done

PROGRAM = (sys.executable, "-c", "from esimhooks.cli.main import run; run()")


def environment(**ours: str) -> dict[str, str]:
    """The variables of a process that has these and no others of esimhooks."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ESIMHOOKS_")} | ours


async def done(*words: str, variables: Mapping[str, str]) -> Done:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *words,
        env=dict(variables),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())
