"""The server under test as an operator runs it: `esimhooks serve` on its embedded PostgreSQL, and further dispatchers."""

import base64
import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

COMMAND = (sys.executable, "-c", "from esimhooks.cli.main import run; run()", "serve", "--port", "0")
START_LIMIT_S = 120.0
STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]+): ")


def importing(source: Path | None) -> dict[str, str]:
    """Return the environment of a process that imports what is tested from `source`, None for what is installed."""
    return os.environ | ({"PYTHONPATH": str(source)} if source else {})


class Node:
    """One process of the server. `peak_mib` is the most memory it had resident."""

    def __init__(self, folder: Path, name: str, settings: dict[str, str], source: Path | None) -> None:
        self._output = folder / f"{name}.log"
        environment = importing(source) | {f"ESIMHOOKS_{key.upper()}": value for key, value in settings.items()}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                COMMAND, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.peak_mib = 0.0
        self.url = self._announced()

    def cpu_s(self) -> float:
        """Return the processor time that it and the processes it started have used, but for those of PostgreSQL."""
        return _cpu_s(self._process.pid)

    def stop(self) -> None:
        """End it cleanly and note the peak of memory of its largest process."""
        self.peak_mib = max(map(_peak_mib, _pids(self._process.pid)))
        self._process.terminate()
        self._process.wait(timeout=60)

    def _announced(self) -> str:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            output = self._output.read_text(errors="replace")
            found = re.search(r"esimhooks serves (http\S+) ", output)
            if found:
                return found[1]
            if self._process.poll() is not None:
                raise RuntimeError(f"the server did not start: {output[-2000:]}")
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start within {START_LIMIT_S:g} s")


def _pids(pid: int) -> list[int]:
    """Return a process and those it started, but for PostgreSQL, whose processes are named after it."""
    children = psutil.Process(pid).children(recursive=True)
    return [pid, *(one.pid for one in children if "postgres" not in one.name())]


def _cpu_s(pid: int, *, postgresql: bool = False) -> float:
    """Return the processor time of a process and its children, those that have ended included."""
    pids = [pid, *(one.pid for one in psutil.Process(pid).children())] if postgresql else _pids(pid)
    return float(sum(sum(psutil.Process(one).cpu_times()[:4]) for one in pids))


def _peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class Server:
    """A data folder with one node that owns its PostgreSQL, and any number of dispatchers on the same database.

    `source` is the folder of another version's packages, None for the one that is installed.
    """

    def __init__(self, folder: Path, source: Path | None = None) -> None:
        self.key = "bench-" + secrets.token_hex(24)
        self.peaks: list[float] = []
        self._folder = folder
        self.source = source
        self._nodes: list[Node] = []
        self._shared = {
            "admin_key": self.key,
            "encryption_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "allow_networks": "127.0.0.0/8",
            "usage_interval": "0",
            "log_format": "json",
        }

    def start(self, roles: str = "all") -> Node:
        """Start the node that owns the database."""
        return self._start("owner", {"data_dir": str(self._folder), "roles": roles})

    def add_dispatcher(self) -> Node:
        """Start a further node of one process that only sends."""
        name = f"dispatcher-{len(self._nodes)}"
        return self._start(name, {"database_url": self.dsn, "roles": "dispatcher", "processes": "1"})

    def stop(self, node: Node) -> None:
        """End one node."""
        node.stop()
        self._nodes.remove(node)
        self.peaks.append(node.peak_mib)

    def stop_all(self) -> None:
        """End all nodes, the one that owns the database last."""
        for node in reversed(self._nodes[:]):
            self.stop(node)

    @property
    def dsn(self) -> str:
        """Address of the embedded PostgreSQL."""
        socket_dir = (self._folder / "postgres" / "postmaster.pid").read_text().splitlines()[4]
        return f"postgresql://esimhooks@/esimhooks?host={quote(socket_dir, safe='')}&port=5432"

    def cpu_s(self) -> tuple[float, float]:
        """Return the processor time that all nodes have used so far, and PostgreSQL."""
        postmaster = int((self._folder / "postgres" / "postmaster.pid").read_text().split()[0])
        return sum(node.cpu_s() for node in self._nodes), _cpu_s(postmaster, postgresql=True)

    async def commits(self) -> int:
        """Return how many transactions have written so far: each that writes takes one number."""
        conn = await asyncpg.connect(self.dsn)
        try:
            return int(await conn.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text"))
        finally:
            await conn.close()

    async def execute(self, statement: str, *arguments: object) -> None:
        """Run one statement."""
        conn = await asyncpg.connect(self.dsn)
        try:
            await conn.execute(statement, *arguments, timeout=600)
        finally:
            await conn.close()

    async def hold_lanes(self) -> None:
        """Let no lane be leased, so that dispatchers can start before the clock does."""
        await self.execute("UPDATE lanes SET held_until = now() + interval '1 hour'")

    async def let_go(self) -> None:
        """Let all lanes be leased again."""
        await self.execute("UPDATE lanes SET held_until = NULL")

    async def log_statements(self, *, on: bool) -> int:
        """Have PostgreSQL write down every statement, or no longer; return how many it has written down so far."""
        wanted = "all" if on else "none"
        await self.execute(f"ALTER SYSTEM SET log_statement = '{wanted}'")
        await self.execute("SELECT pg_reload_conf()")
        logs = (self._folder / "postgres" / "log").iterdir()
        return sum(len(STATEMENT.findall(log.read_text(errors="replace"))) for log in logs)

    async def durability(self) -> dict[str, str]:
        """Return the version of PostgreSQL and the settings that decide what survives a power cut."""
        conn = await asyncpg.connect(self.dsn)
        try:
            names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
            return {name: str(await conn.fetchval("SELECT current_setting($1)", name)) for name in names}
        finally:
            await conn.close()

    def _start(self, name: str, settings: dict[str, str]) -> Node:
        node = Node(self._folder, name, self._shared | settings, self.source)
        self._nodes.append(node)
        return node
