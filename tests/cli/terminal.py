"""Commands run one after the other on a terminal of a given width, in one process: what each printed comes back."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cli import processes

SCRIPT = """
import json, os, sys
from esimhooks.cli.main import run
for number, (words, environment) in enumerate(json.load(open(sys.argv[1]))):
    os.environ.update(environment)
    code = None
    try:
        run(words)
    except SystemExit as left:
        code = left.code
    sys.stdout.flush()
    sys.stderr.flush()
    print(f"\\x1d{number} {code}\\x1e", end="", flush=True)
"""


STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Shown(NamedTuple):
    """What a command printed, both streams as a person sees them, and its exit code."""

    words: Sequence[str]
    code: str
    lines: list[str]


def on_a_terminal(
    commands: Sequence[tuple[Sequence[str], Mapping[str, str]]], *, columns: int, script: Path, timeout_s: float
) -> list[Shown]:
    """Run the commands, `script` being the file to hand them over in."""
    script.write_text(json.dumps(commands))
    words = [sys.executable, "-c", SCRIPT, str(script)]
    printed = shown_by(words, columns=columns, environment={"TERM": "xterm", "NO_COLOR": "1"}, timeout_s=timeout_s)
    parts = [part.rpartition("\x1d") for part in printed.split("\x1e")[:-1]]
    return [
        Shown(words, end.split()[1], text.splitlines())
        for (words, _), (text, _, end) in zip(commands, parts, strict=True)
    ]


def shown_by(words: Sequence[str], *, columns: int, environment: Mapping[str, str], timeout_s: float) -> str:
    """Return what a program printed on a terminal, both streams, without its colours; `environment` is added to ours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in processes.environment().items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=kept | dict(environment), close_fds=True
    ) as process:
        os.close(theirs)
        printed = _read_all(ours)
        process.wait(timeout=timeout_s)
    return STYLE.sub("", printed).replace("\r\n", "\n")


def _read_all(terminal: int) -> str:
    content = b""
    try:
        while chunk := os.read(terminal, 65_536):
            content += chunk
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    finally:
        os.close(terminal)
    return content.decode(errors="replace")
