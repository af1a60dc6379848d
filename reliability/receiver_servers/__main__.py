"""Sends events to a receiver in gunicorn, uWSGI and Celery, with inboxes in SQLite and PostgreSQL, and counts their runs.

In come names of servers and a number of events, out goes a report; the exit code is 1 where an event has no run or was
begun twice. Everything runs on 127.0.0.1 in folders that are removed.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from celery import Celery

from esimhooks import Webhook, open_inbox
from esimhooks.server.store.embedded import EmbeddedPostgres
from reliability.processes import free_port
from reliability.receiver_kills import SECRET, answered_200, listening, measured_on

FOLDER = Path(__file__).parent
BIN = Path(sys.executable).parent
SENDERS = 8
PATIENCE_S = 180.0
GUNICORN = [str(BIN / "gunicorn"), "--preload", "--workers", "4", "--bind", "127.0.0.1:{port}", "application"]
COMMANDS = {
    "gunicorn --preload": GUNICORN,
    "gunicorn --max-requests 25": [*GUNICORN, "--max-requests", "25", "--config", "python:application"],
    "uwsgi": [
        *(sys.executable, str(FOLDER / "run_uwsgi.py"), "--http-socket", "127.0.0.1:{port}", "--module", "application"),
        *("--master", "--processes", "4", "--enable-threads", "--die-on-term"),
    ],
    "celery prefork": [
        *(str(BIN / "celery"), "--app", "application:celery", "worker", "--pool", "prefork", "--concurrency", "4"),
        *("--loglevel", "WARNING"),
    ],
}


@dataclass
class Place:
    """Where a run of the campaign keeps its things."""

    inbox: str
    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """What the application reads."""
        return {
            **os.environ,
            "INBOX": self.inbox,
            "JOURNAL": str(self.folder / "journal"),
            "QUEUE": str(self.folder / "queue"),
        }


@contextmanager
def serving(server: str, stand: Place) -> Iterator[None]:
    """Run a server, and end it as its operator would."""
    command = [word.format(port=stand.port) for word in COMMANDS[server]]
    (stand.folder / "queue").mkdir(exist_ok=True)
    with (
        (stand.folder / "output").open("ab") as output,
        subprocess.Popen(command, cwd=FOLDER, env=stand.environment, stdout=output, stderr=output) as process,
    ):
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def send(stand: Place, server: str, events: int) -> None:
    """Send each event until it is answered with 200, or pass it to Celery."""
    webhook = Webhook(SECRET)
    queue = Celery(broker="filesystem://")
    queue.conf.broker_transport_options = dict.fromkeys(
        ("data_folder_in", "data_folder_out", "control_folder"), str(stand.folder / "queue")
    )

    def one(number: int) -> None:
        body = f'{{"id":"evt_{number}","event":"esim.activated","data":{{"id":"esim_{number % 50}"}}}}'.encode()
        headers = webhook.sign(body, message_id=f"evt_{number}")
        if server.startswith("celery"):
            queue.send_task("take", [body.decode(), headers])
            return
        while not answered_200(stand.port, body, headers):
            time.sleep(0.02)

    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(one, range(events)))


def campaign(server: str, stand: Place, events: int) -> dict[str, int]:
    """Return the figures of one server with one inbox."""
    began = time.monotonic()
    with serving(server, stand):
        if not server.startswith("celery"):
            listening(stand.port)
        send(stand, server, events)
        _until(lambda: _done(stand.inbox) == events)
    lines = [line.split() for line in (stand.folder / "journal").read_text().splitlines()]
    begun = Counter(words[1] for words in lines if words[0] == "begun")
    return {
        "events": events,
        "without a run": events - len(begun),
        "begun more than once": sum(count > 1 for count in begun.values()),
        "processes": len({words[2] for words in lines}),
        "seconds": round(time.monotonic() - began),
    }


def _done(inbox: str) -> int:
    with open_inbox(inbox) as opened:
        return opened.stats().done


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)


@contextmanager
def _inbox(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'inbox.db'}"
        return
    with tempfile.TemporaryDirectory(prefix="esimhooks-servers-") as data:
        embedded = EmbeddedPostgres(Path(data))
        try:
            yield embedded.start()
        finally:
            embedded.stop()


def main() -> int:
    """Run the campaign and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs="*", default=list(COMMANDS))
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    rows, wrong = (
        ["# Receivers in servers that fork and recycle processes\n", f"`make reliability-servers`. {measured_on()}\n"],
        0,
    )
    head: list[str] = []
    for server in given.servers:
        for kind in ("sqlite", "postgresql"):
            with tempfile.TemporaryDirectory(prefix="esimhooks-servers-") as name, _inbox(kind, Path(name)) as inbox:
                figures = campaign(server, Place(inbox, Path(name), free_port()), given.events)
                if figures["without a run"] or figures["begun more than once"]:
                    wrong += 1
                    print((Path(name) / "output").read_text(errors="replace")[-4000:], file=sys.stderr)
            if not head:
                head = ["server", "inbox", *figures]
                rows += ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * len(figures)]
            rows.append(f"| {server} | {kind} | " + " | ".join(str(value) for value in figures.values()) + " |")
            print(rows[-1], flush=True)
    text = "\n".join(rows) + "\n"
    if given.report:
        given.report.write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
