"""Child processes that end with the campaign, however it ends, and the wait for what they do.

A command goes in, a running process comes out. Only processes started here are ever signalled.
"""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CHECK_EVERY_S = 0.05


class GaveUp(Exception):
    """What was waited for did not come, or a command failed; the text says which."""


def launched(
    command: Sequence[str], output: Path, *, env: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a process whose output is added to a file; the kernel kills it should the campaign be killed."""
    setpriv = shutil.which("setpriv")
    tied = (setpriv, "--pdeathsig", "KILL") if setpriv else ()
    with output.open("ab") as file:
        return subprocess.Popen((*tied, *command), stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=env)


async def until(condition: Callable[[], bool], what: str, *, within_s: float) -> None:
    """Return once the condition holds. Raises `GaveUp` after `within_s`."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(CHECK_EVERY_S)
    except TimeoutError:
        raise GaveUp(f"{what} did not happen within {within_s:.0f} s") from None


async def ended(process: "subprocess.Popen[bytes]", *, within_s: float) -> int:
    """Return the exit code of a process once it has ended. Raises `GaveUp`."""
    await until(lambda: process.poll() is not None, f"the end of process {process.pid}", within_s=within_s)
    return process.returncode


def run(*command: str) -> None:
    """Run a short command. Raises `GaveUp` with its output where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise GaveUp(f"{' '.join(command)}: {done.stderr.strip()}")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
