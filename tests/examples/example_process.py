"""An example started as its reader would start it: a process, the address that it prints, what it prints later."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from api import eventually

ROOT = Path(__file__).parents[2]


class ExampleProcess:
    """A running example. `url` is where it listens."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.url = ""
        self._process = process
        self._output = output

    def printed(self) -> str:
        """Return all that it has printed so far."""
        return self._output.read_text(errors="replace")

    async def started(self) -> None:
        """Return once it has printed its address."""
        self.url = await eventually(self._announced)

    async def _announced(self) -> str | None:
        assert self._process.poll() is None, self.printed()
        found = re.search(r"http://127\.0\.0\.1:[1-9]\d*", self.printed())
        return found[0] if found else None


@contextmanager
def example(words: Sequence[str | Path], output: Path, environment: Mapping[str, str]) -> Iterator[ExampleProcess]:
    """Run a command in the repository's folder, what it prints going to a file, and end it with its children."""
    with (
        output.open("wb") as printed,
        subprocess.Popen(
            words, cwd=ROOT, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed
        ) as process,
    ):
        try:
            yield ExampleProcess(process, output)
        finally:
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                one.kill()


def passes_every_check(url: str, secret: str) -> None:
    """Grade a receiver with the command that its reader has; fail with the whole report where a check fails."""
    done = subprocess.run(
        [Path(sys.executable).with_name("esimhooks"), "check-receiver", url, "--secret", secret],
        capture_output=True,
        check=False,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail" not in done.stdout
