"""Kills a receiver (SIGKILL) at random times under load and counts what came of every event that it answered with 200.

In come an inbox (`sqlite` or `postgresql`) and a number of kills, out goes a report; the exit code is 1 where an event was
lost, or had its transactional effect not exactly once. Everything runs on 127.0.0.1 in a folder that is removed.
"""

import argparse
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from esimhooks import Event, Receiver, Retrying, Webhook, open_inbox
from esimhooks.receiver.urls import database_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LEASE_S = 2.0
SENDERS = 4
PATIENCE_S = 60.0


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def serve(inbox: str, port: int, journal: Path) -> None:
    """Run the receiver: one handler with an effect in the inbox's database, one with an effect in a file."""
    receiver = Receiver(SECRET, inbox=inbox, retrying=Retrying(lease_s=LEASE_S))
    written = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @receiver.transactional("*", name="database")
    def database(event: Event, connection: Any) -> None:
        connection.execute(f"INSERT INTO effects VALUES ('{event.id}')")

    @receiver.on("*", name="file")
    def file(event: Event) -> None:
        os.write(written, event.id.encode() + b"\n")

    with receiver, make_server("127.0.0.1", port, receiver.wsgi, _Server, _Quiet) as server:
        server.serve_forever()


class Load:
    """Senders that send each event until it is answered with 200, as fast as the receiver takes them."""

    def __init__(self, port: int) -> None:
        self.acknowledged: set[str] = set()
        self.requests = 0
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop sending."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _send(self, sender: int) -> None:
        webhook, number = Webhook(SECRET), 0
        while not self._over.is_set():
            event_id = f"evt_{sender}_{number}"
            body = f'{{"id":"{event_id}","event":"esim.activated","data":{{"id":"esim_{sender}"}}}}'.encode()
            self.requests += 1
            if self._answered(body, webhook.sign(body, message_id=event_id)):
                self.acknowledged.add(event_id)
                number += 1
            else:
                self._over.wait(0.01)

    def _answered(self, body: bytes, headers: dict[str, str]) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("POST", "/", body, headers)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def campaign(inbox: str, kills: int, folder: Path) -> dict[str, int]:
    """Kill the receiver that many times under load, let it end its work, return the figures."""
    with socket.socket() as reserved:
        # Bound all the time: while the receiver is down, a sender must not get its port as its own end.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        return _campaign(inbox, kills, folder, port=int(reserved.getsockname()[1]))


def _campaign(inbox: str, kills: int, folder: Path, *, port: int) -> dict[str, int]:
    journal = folder / "journal"
    database = database_of(inbox)
    with database.writing() as session:
        session.run("CREATE TABLE effects (id text)")
    command = [sys.executable, __file__, "serve", inbox, str(port), str(journal)]
    load = Load(port)
    for _ in range(kills):
        process = subprocess.Popen(command)
        _listening(port)
        time.sleep(random.uniform(0.0, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    process = subprocess.Popen(command)
    _listening(port)
    load.end()
    _worked_off(inbox)
    process.kill()
    process.wait()
    with database.reading() as session:
        in_database = Counter(row[0] for row in session.rows("SELECT id FROM effects"))
    database.close()
    in_file = Counter(journal.read_text().split())
    acknowledged = load.acknowledged
    return {
        "kills": kills,
        "requests": load.requests,
        "events acknowledged with 200": len(acknowledged),
        "transactional: without effect": sum(in_database[one] == 0 for one in acknowledged),
        "transactional: more than one effect": sum(count > 1 for count in in_database.values()),
        "background: without effect": sum(in_file[one] == 0 for one in acknowledged),
        "background: more than one effect (allowed)": sum(count > 1 for count in in_file.values()),
        "work left or dead": _left(inbox),
    }


def _listening(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise SystemExit("the receiver does not start")


def _left(inbox: str) -> int:
    with open_inbox(inbox) as opened:
        stats = opened.stats()
    return stats.waiting + stats.running + stats.dead


def _worked_off(inbox: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while _left(inbox) and time.monotonic() < deadline:
        time.sleep(0.2)


def report(kind: str, figures: dict[str, int]) -> str:
    """Return the figures as Markdown."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in figures.items())
    head = f"# Receiver, inbox in {kind}: SIGKILL at random times under load\n\n`make reliability-receiver`, {SENDERS} senders, each event sent until it is answered with 200.\n"
    return f"{head}\n| | |\n|---|---:|\n{rows}\n"


def main() -> int:
    """Run a campaign, or the receiver that it kills."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inbox", choices=["sqlite", "postgresql"])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="esimhooks-kills-") as name:
        folder = Path(name)
        if given.inbox == "sqlite":
            figures = campaign(f"sqlite:///{folder / 'inbox.db'}", given.kills, folder)
        else:
            from esimhooks.server.store.embedded import EmbeddedPostgres  # noqa: PLC0415 - only where it is used

            # A folder of its own, directly below /tmp: PostgreSQL's own user must be able to pass what is above it.
            with tempfile.TemporaryDirectory(prefix="esimhooks-kills-") as data:
                embedded = EmbeddedPostgres(Path(data))
                try:
                    figures = campaign(embedded.start(), given.kills, folder)
                finally:
                    embedded.stop()
    text = report(given.inbox, figures)
    print(text)
    if given.report:
        given.report.write_text(text, encoding="utf-8")
    wrong = ("transactional: without effect", "transactional: more than one effect", "background: without effect")
    return 1 if any(figures[one] for one in (*wrong, "work left or dead")) else 0


if __name__ == "__main__":
    sys.exit(main())
