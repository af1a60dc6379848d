"""A node as a process of its own, as an operator runs it: `esimhooks serve`, signals, an exit code."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from api import eventually
from cli.processes import PROGRAM, environment
from esimhooks.server.app.settings import Settings

COMMAND = (*PROGRAM, "serve")


class NodeProcess:
    """Started, killed and started again with the same settings; what it prints goes to a file."""

    def __init__(self, settings: Mapping[str, str], output: Path) -> None:
        self.url = ""
        alone = {"ESIMHOOKS_PROCESSES": "1"}  # what is killed is all there is, unless a test says otherwise
        self._environment = os.environ | alone | variables_of(settings)
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> subprocess.Popen[bytes]:
        """The present process."""
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        """Start it and return once it takes requests; where it does not come to that it is ended."""
        self._process = self._launched()
        try:
            self.url = await eventually(self._announced)
        except BaseException:
            self.clear_up()
            raise

    def kill(self) -> None:
        """End it as a power cut would."""
        self.running.kill()
        self.running.wait()

    def pause(self) -> None:
        """Stop it in the middle of what it does, as a suspended machine would."""
        self.running.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on where it was paused; it does not know that time has passed."""
        self.running.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to end."""
        self.running.send_signal(signal.SIGTERM)

    async def exit_code(self) -> int:
        """Return its exit code once it has ended."""

        async def ended() -> bool:
            return self.running.poll() is not None

        await eventually(ended)
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
        output = self._output.read_text(errors="replace")
        assert self.running.poll() is None, output
        found = re.search(r"esimhooks serves (http\S+) ", output)
        return found[1] if found else None


def settings_of(settings: Settings, **changes: str) -> dict[str, str]:
    """Return the settings of tests for a process on the same database, with these changed."""
    assert settings.database_url is not None
    assert settings.admin_key is not None
    listen_url = {"listen_url": settings.listen_url.get_secret_value()} if settings.listen_url is not None else {}
    return {
        **listen_url,
        "database_url": settings.database_url.get_secret_value(),
        "database_pooled": str(settings.database_pooled),
        "data_dir": str(settings.data_dir),
        "port": "0",
        "admin_key": settings.admin_key.get_secret_value(),
        "encryption_key": settings.encryption_key[0].get_secret_value(),
        "allow_networks": "127.0.0.0/8",
        "log_level": "warning",
    } | changes


def environment_of(settings: Settings, **changes: str) -> dict[str, str]:
    """Return the environment of a command that speaks of the installation of these settings, with these changed."""
    return environment(**variables_of(settings_of(settings, **changes)))


def variables_of(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings as environment variables."""
    return {f"ESIMHOOKS_{name.upper()}": value for name, value in settings.items()}


def postgres_processes(data_dir: Path) -> list[psutil.Process]:
    """Return every process of the PostgreSQL whose data is in the folder."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline", "status"]):
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if alive and str(data_dir / "postgres") in (process.info["cmdline"] or []):
            found += [process, *process.children(recursive=True)]
    return found
