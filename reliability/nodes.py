"""A node: `esimhooks serve` as one process or several, started, killed, paused and stopped like an operator's.

Settings come in; what the process prints goes to a file. Whether it works is seen from outside, not asked here.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from reliability.processes import ended, launched, until

PROGRAM = (sys.executable, "-c", "from esimhooks.cli.main import run; run()")
READY_S = 180.0
STOP_S = 30.0
ANNOUNCED = re.compile(rb"esimhooks serves http")


class Node:
    """A node. `address` is where its requests come from, empty where that tells nothing."""

    def __init__(  # noqa: PLR0913
        self,
        name: str,
        *,
        settings: Mapping[str, str],
        roles: str,
        processes: int = 1,
        output: Path,
        address: str = "",
        wrapper: Sequence[str] = (),
        more_environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.roles = roles
        self.processes = processes
        self.address = address
        self.wanted = False
        self._command = (*wrapper, *PROGRAM, "serve", "--role", roles)
        several = {"ESIMHOOKS_PROCESSES": str(processes)}
        self._environment = environment(settings) | several | dict(more_environment or {})
        self._output = output
        self._said_before = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dispatches(self) -> bool:
        """Whether requests to receivers come from it."""
        return "all" in self.roles or "dispatcher" in self.roles

    @property
    def exit_code(self) -> int | None:
        """How the process ended, None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def ready(self) -> bool:
        """Whether it has printed that it serves, since its last start."""
        return ANNOUNCED.search(self._said()) is not None

    def start(self) -> None:
        """Start it; it is ready later."""
        self._said_before = self._output.stat().st_size if self._output.exists() else 0
        self._process = launched(self._command, self._output, env=self._environment)
        self.wanted = True

    async def started(self) -> None:
        """Return once it is ready. Raises `GaveUp`."""
        await until(lambda: self.ready, f"the start of {self.name}", within_s=READY_S)

    def children(self) -> list[psutil.Process]:
        """Return the processes that do the work of a node of several."""
        if self.processes == 1 or self._process is None or self._process.poll() is not None:
            return []
        found = []
        for one in psutil.Process(self._process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if one.ppid() != self._process.pid and "postgres" not in one.name():  # what forks them is none
                    found.append(one)
        return found

    def kill(self) -> None:
        """End it, with its children, as a power cut would."""
        children = self.children()
        self.kill_parent()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def kill_parent(self) -> None:
        """End it but for its children."""
        self.wanted = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    async def stop(self) -> int:
        """Ask it to end and return its exit code. Raises `GaveUp`."""
        self.wanted = False
        if self._process is None:
            return 0
        self.signal(signal.SIGTERM)
        return await ended(self._process, within_s=STOP_S)

    def last_words(self) -> str:
        """Return the end of its output since its last start."""
        return " | ".join(self._said().decode(errors="replace").strip().splitlines()[-3:])[-500:]

    def _said(self) -> bytes:
        if not self._output.exists():
            return b""
        with self._output.open("rb") as output:
            output.seek(self._said_before)
            return output.read()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with these settings of esimhooks and no others."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ESIMHOOKS_")}
    return ours | {f"ESIMHOOKS_{name.upper()}": value for name, value in settings.items()}
