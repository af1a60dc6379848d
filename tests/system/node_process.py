"""A node as a process of its own, as an operator runs it: `esimhooks serve`, signals, an exit code."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from api import eventually

COMMAND = (sys.executable, "-c", "from esimhooks.cli.main import run; run()", "serve")
START_LIMIT_S = 240.0


class NodeProcess:
    """Started, killed and started again with the same settings; what it prints goes to a file."""

    def __init__(self, settings: Mapping[str, str], output: Path) -> None:
        self.url = ""
        self._environment = os.environ | {f"ESIMHOOKS_{name.upper()}": value for name, value in settings.items()}
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> subprocess.Popen[bytes]:
        """The present process."""
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        """Start it and return once it takes requests."""
        self._process = self._launched()
        self.url = await eventually(self._announced, within_s=START_LIMIT_S)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.running.kill()
        self.running.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self.running.send_signal(signal.SIGTERM)

    async def exit_code(self, *, within_s: float = 60.0) -> int:
        """Return its exit code once it has ended."""

        async def ended() -> bool:
            return self.running.poll() is not None

        await eventually(ended, within_s=within_s)
        return self.running.returncode

    def clear_up(self) -> None:
        """End it, should a test have failed."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _launched(self) -> subprocess.Popen[bytes]:
        with self._output.open("wb") as output:
            return subprocess.Popen(
                COMMAND, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    async def _announced(self) -> str | None:
        said = self._output.read_text(errors="replace")
        assert self.running.poll() is None, said
        found = re.search(r"esimhooks serves (http\S+) ", said)
        return found[1] if found else None


def postgres_processes(data_dir: Path) -> list[psutil.Process]:
    """Return every process of the PostgreSQL whose data is in the folder."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline", "status"]):
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if alive and str(data_dir / "postgres") in (process.info["cmdline"] or []):
            found += [process, *process.children(recursive=True)]
    return found
