"""Writes docs/sessions/*.txt: what real commands print on this machine, for readers who have not installed anything.

Starts what it needs in a temporary folder and ends it again. Keys, secrets and that folder are replaced by dots and
short names; nothing else is edited.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("esimhooks")
PLACE = Path(__file__).parents[1] / "docs" / "sessions"
PORT, RECEIVER_PORT = 18_400, 18_401
SECRETS = re.compile(r"(whsec_|esim_(?:admin|test|live)_)[A-Za-z0-9+/=]{8,}")


class Session:
    """Commands as they are typed and what they print, standard error included."""

    def __init__(self, environment: Mapping[str, str], folder: str) -> None:
        self._environment = environment
        self._folder = folder
        self._text = ""

    def run(self, *words: str) -> str:
        """Run a command to its end, note it down and return what it printed."""
        with self.started(*words) as process:
            printed, _ = process.communicate(timeout=120)
        self.note(words, printed)
        return str(printed)

    @contextmanager
    def started(self, *words: str) -> Iterator["subprocess.Popen[str]"]:
        """Run a command while the context lasts."""
        with subprocess.Popen(
            [str(PROGRAM), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**self._environment, "PYTHONUNBUFFERED": "1"},
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()

    def note(self, words: tuple[str, ...], printed: str) -> None:
        """Add a command and what it printed."""
        lines = "\n".join(line.rstrip() for line in printed.rstrip().splitlines())
        self._text += f"$ esimhooks {' '.join(words)}\n{lines}\n\n"

    def write(self, name: str) -> None:
        """Write all of it to its file."""
        text = SECRETS.sub(r"\1...", self._text).replace(self._folder, "/var/lib/esimhooks")
        (PLACE / f"{name}.txt").write_text(text.rstrip() + "\n")
        print(f"docs/sessions/{name}.txt")


def main(wanted: Sequence[str]) -> None:
    """Record the sessions of these names, or all."""
    PLACE.mkdir(parents=True, exist_ok=True)
    names = set(wanted) or {"demo", "doctor", "listen"}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ESIMHOOKS_")}
    with tempfile.TemporaryDirectory(prefix="esimhooks-record-", ignore_cleanup_errors=True) as folder:
        plain |= {"XDG_STATE_HOME": f"{folder}/state", "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
        if "demo" in names:
            record_demo(plain, folder)
        settings = {"ESIMHOOKS_DATA_DIR": folder, "ESIMHOOKS_PORT": str(PORT)}
        with Session(plain | settings, folder).started("serve") as process:
            key = admin_key(process)
            if "doctor" in names:
                record_doctor(plain | settings, folder)
            if "listen" in names:
                record_listen(plain, folder, key)


def record_demo(environment: Mapping[str, str], folder: str) -> None:
    """The demo, from its start to its summary."""
    session = Session(environment, folder)
    session.run("demo", "--for", "20s")
    session.write("demo")


def record_doctor(environment: Mapping[str, str], folder: str) -> None:
    """The doctor beside a running server, with a variable that is written wrongly."""
    session = Session(dict(environment) | {"ESIMHOOKS_RETENTON_DAYS": "7"}, folder)
    session.run("doctor")
    session.write("doctor")


def record_listen(environment: Mapping[str, str], folder: str, key: str) -> None:
    """`listen` attached to the server, forwarding to a second one that verifies."""
    operator = {"ESIMHOOKS_URL": f"http://127.0.0.1:{PORT}", "ESIMHOOKS_API_KEY": key}
    setup = Session(dict(environment) | operator, folder)
    account = found(r'"id":"(acc_\w+)"', setup.run("accounts", "create", "--name", "Acme", "--json"))
    made = setup.run("keys", "create", "--account", account, "--mode", "test", "--name", "laptop", "--json")
    merchant = operator | {"ESIMHOOKS_API_KEY": found(r'"key":"(esim_test_\w+)"', made)}
    session = Session(dict(environment) | merchant, folder)
    attaching = ("listen", "--forward", f"http://127.0.0.1:{RECEIVER_PORT}/hook", "--count", "1")
    with session.started(*attaching) as attached:
        begun = first_lines(attached, 2)
        secret = found(r"(whsec_\S+)", begun)
        verifying = ("listen", "--port", str(RECEIVER_PORT), "--count", "1", "--secret", secret)
        with Session(environment, folder).started(*verifying) as receiver:
            listening = first_lines(receiver, 1)
            time.sleep(1)  # until the stream is open: what was raised before is not shown
            Session(dict(environment) | merchant, folder).run("trigger", "esim.activated", "--timeout", "1s")
            printed = receiver.communicate(timeout=30)[0]
        session.note(attaching, begun + attached.communicate(timeout=30)[0])
        session.note(verifying, listening + printed)
    session.write("listen")


def admin_key(process: "subprocess.Popen[str]") -> str:
    """Return the key that a new server prints."""
    return found(r"(esim_admin_\w+)", first_lines(process, 3))


def first_lines(process: "subprocess.Popen[str]", number: int) -> str:
    """Return the first lines of a running command."""
    if process.stdout is None:
        raise SystemExit("the command has no output")
    return "".join(process.stdout.readline() for _ in range(number))


def found(pattern: str, text: str) -> str:
    """Return what the pattern finds; ends where it finds nothing."""
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"expected {pattern} in: {text}")
    return match[1]


if __name__ == "__main__":
    main(sys.argv[1:])
