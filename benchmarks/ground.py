"""What every scenario stands on: a server, a receiver, and generators, each a process of its own."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.outside.adapter import ESIMS, Esimhooks, Target
from benchmarks.outside.wire import Request, Wire
from benchmarks.server import Server

Posted = list[tuple[list[str], int, int, int]]
"""Of each post: the ids of its events, when it was due, when it was answered (monotonic ns), and the status."""

MAX_WAIT_S = 300.0


class Ground:
    """A server in a fresh folder and a receiver."""

    def __init__(self, server: Server, receiver_port: int) -> None:
        self.server = server
        self.receiver = f"http://127.0.0.1:{receiver_port}"

    async def targets(self, node_url: str, paths: Sequence[str], *, esims: int = ESIMS) -> list[Target]:
        """Make an endpoint for each path of the receiver, in an account of its own."""
        wire, adapter = Wire(node_url), Esimhooks(self.server.key)
        made = [await adapter.create_endpoint(wire, self.receiver + path, esims=esims) for path in paths]
        await wire.close()
        return made

    async def crowd(self, node_url: str, target: Target, paths: Sequence[str], **limits: int) -> None:
        """Give the target's account an endpoint more for each path of the receiver, with these limits of its own."""
        wire, adapter = Wire(node_url), Esimhooks(self.server.key)
        await adapter.allow_endpoints(wire, target, len(paths) + 1)
        for path in paths:
            await adapter.add_endpoint(wire, target, self.receiver + path, **limits)
        await wire.close()

    async def delete_account(self, node_url: str, target: Target) -> None:
        """Delete the target's account with its endpoints, whatever waits for them."""
        wire = Wire(node_url)
        await Esimhooks(self.server.key).delete_account(wire, target)
        await wire.close()

    async def post(self, node_url: str, targets: Sequence[Target], **load: Any) -> Posted:
        """Run a generator to its end; `load` overwrites what stands here."""
        given = {"connections": 1, "first": 0, "batch": 1, "posts": 10**9, "seconds": 0, "rate": 0}
        fixed = {"url": node_url, "key": self.server.key, "adapter": "esimhooks", "targets": targets}
        posted: Posted = await piped("benchmarks.outside.generator", given | fixed | load)
        refused = [status for *_, status in posted if status >= 300]
        if refused:
            raise RuntimeError(f"{len(refused)} posts were refused, the first with {refused[0]}")
        return posted

    async def fetch(self, what: str) -> Any:
        """Ask the receiver: count, arrivals, bodies, or reset."""
        wire = Wire(self.receiver)
        _, answer = await wire.post(Request(f"/-/{what}", {}, b""))
        await wire.close()
        return json.loads(answer)

    async def arrived(self, count: int) -> dict[str, int]:
        """Return the first arrival of each id once `count` requests have come, and forget them."""
        first = await self.arrived_in_time(count, within_s=MAX_WAIT_S)
        if len(first) < count:
            raise RuntimeError(f"only {len(first)} of {count} arrived within {MAX_WAIT_S:g} s")
        return first

    async def arrived_in_time(self, count: int, *, within_s: float) -> dict[str, int]:
        """Return the first arrival of each id by the time `count` have come or the wait ends, and forget them."""
        deadline = time.monotonic() + within_s
        while await self.fetch("count") < count and time.monotonic() < deadline:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.1)
        first: dict[str, int] = {}
        for name, at in await self.fetch("reset"):
            first.setdefault(name, at)
        return first


async def piped(module: str, given: dict[str, Any], *, environment: Mapping[str, str] | None = None) -> Any:
    """Run a module as a process, JSON in and JSON out."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    answer, _ = await process.communicate(json.dumps(given).encode())
    if process.returncode:
        raise RuntimeError(f"{module} failed with {process.returncode}")
    return json.loads(answer)


@contextmanager
def ground(source: Path | None = None) -> Iterator[Ground]:
    """Lend a server in a fresh folder, not started yet, and a running receiver; end both.

    `source` is the folder of another version's packages, None for the one that is installed.
    """
    with tempfile.TemporaryDirectory(prefix="esimhooks-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL has a user of its own where root runs this
        with _receiving(Path(folder), source) as bench:
            yield bench


@contextmanager
def _receiving(folder: Path, source: Path | None) -> Iterator[Ground]:
    command = (sys.executable, "-m", "benchmarks.outside.receiver")
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    server = Server(folder, source)
    try:
        assert receiver.stdout is not None
        yield Ground(server, int(receiver.stdout.readline()))
    finally:
        server.stop_all()
        receiver.kill()
        receiver.wait()
        if receiver.stdout is not None:
            receiver.stdout.close()
