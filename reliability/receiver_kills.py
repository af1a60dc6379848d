"""Kills a receiver (SIGKILL) at random times under load and counts what came of every event that it answered with 200.

Meanwhile the inbox goes away: PostgreSQL is stopped at once and started again, a SQLite file is locked by somebody else.
All the time another process opens the inbox, looks at it and leaves it, as `esimhooks inbox stats` does.
In come an inbox (`sqlite` or `postgresql`) and a number of kills, out goes a report; the exit code is 1 where an event was
lost, had its transactional effect not exactly once, or was repeated without a kill or an outage that explains it.
Everything runs on 127.0.0.1 in a folder that is removed.
"""

import argparse
import http.client
import os
import random
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from esimhooks import Event, InboxUnavailable, Receiver, Retrying, Webhook, open_inbox
from esimhooks.receiver.inbox import database_of

if TYPE_CHECKING:
    from esimhooks.server.store.embedded import EmbeddedPostgres

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LEASE_S = 2.0
SENDERS = 4
PATIENCE_S = 60.0
RECEIVERS = {
    "python": ([sys.executable, __file__, "serve"], 0.5),
    "node": (["node", str(Path(__file__).with_name("receiver_process.js"))], 2.0),
}
"""How each is started, and how many seconds at most it lives: Node takes longer to answer for the first time."""
GIT = "git"  # stands elsewhere on every system
KILLS_PER_OUTAGE = 10
OUTAGE_S = 3.0
MAX_VISIT_PAUSE_S = 0.2


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
        os.write(written, f"{event.id} {time.time()}\n".encode())

    with receiver, make_server("127.0.0.1", port, receiver.wsgi, _Server, _Quiet) as server:
        server.serve_forever()


def visit(inbox: str) -> None:
    """Open the inbox, look at it and leave it, again and again until the standard input ends; print how often."""
    visits = 0
    while not select.select([sys.stdin], [], [], random.uniform(0, MAX_VISIT_PAUSE_S))[0]:
        with suppress(InboxUnavailable), open_inbox(inbox) as opened:
            opened.stats()
            visits += 1
    print(visits)


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
            if answered_200(self._port, body, webhook.sign(body, message_id=event_id)):
                self.acknowledged.add(event_id)
                number += 1
            else:
                self._over.wait(0.01)


def answered_200(port: int, body: bytes, headers: dict[str, str]) -> bool:
    """Send one request on a connection of its own; return whether it was answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def campaign(kind: str, inbox: str, kills: int, folder: Path, away: Callable[[], None]) -> dict[str, int]:
    """Kill a receiver of that kind so often under load, let it end its work, return the figures.

    `away` takes the inbox away for a while.
    """
    with socket.socket() as reserved:
        # Bound all the time: while the receiver is down, a sender must not get its port as its own end.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        return _campaign(kind, inbox, kills, folder, away, port=int(reserved.getsockname()[1]))


def _campaign(
    kind: str, inbox: str, kills: int, folder: Path, away: Callable[[], None], *, port: int
) -> dict[str, int]:
    start, life_s = RECEIVERS[kind]
    journal = folder / "journal"
    database = database_of(inbox)
    with database.writing() as session:
        session.run("CREATE TABLE effects (id text)")
    database.close()  # nobody but the receiver and the visitor is to have it open
    visitor = subprocess.Popen(
        [sys.executable, __file__, "visit", inbox], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    command = [*start, inbox, str(port), str(journal)]
    load = Load(port)
    faults: list[tuple[float, float]] = []
    outages = {KILLS_PER_OUTAGE * number for number in range(kills // KILLS_PER_OUTAGE)} or {0}
    for number in range(kills):
        process = subprocess.Popen(command)
        listening(port)
        if number in outages:
            began = time.time()
            away()
            faults.append((began, time.time()))
        time.sleep(random.uniform(0.0, life_s))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        faults.append((time.time(), time.time()))
    process = subprocess.Popen(command)
    listening(port)
    load.end()
    visits, _ = visitor.communicate()
    _worked_off(inbox)
    process.kill()
    process.wait()
    with database.reading() as session:
        in_database = Counter(row[0] for row in session.rows("SELECT id FROM effects"))
    database.close()
    called = _calls(journal)
    acknowledged = load.acknowledged
    return {
        "kills": kills,
        "outages of the inbox": len(outages),
        "times another process opened and left it": int(visits),
        "requests": load.requests,
        "events acknowledged with 200": len(acknowledged),
        "transactional: without effect": sum(in_database[one] == 0 for one in acknowledged),
        "transactional: more than one effect": sum(count > 1 for count in in_database.values()),
        "background: without effect": sum(not called[one] for one in acknowledged),
        "background: called again after a kill or an outage (allowed)": sum(
            len(times) > 1 for times in called.values()
        ),
        "background: called again without either": sum(_unexplained(times, faults) for times in called.values()),
        "work left or dead": _left(inbox),
    }


def _calls(journal: Path) -> defaultdict[str, list[float]]:
    """Return the times at which the handler was called, for each event."""
    called: defaultdict[str, list[float]] = defaultdict(list)
    for line in journal.read_text().splitlines():
        event_id, _, at = line.partition(" ")
        called[event_id].append(float(at))
    return called


def _unexplained(times: list[float], faults: list[tuple[float, float]]) -> bool:
    """Whether an event was called twice with no fault between the two calls."""
    return any(
        not any(begin <= later and end >= earlier for begin, end in faults)
        for earlier, later in pairwise(sorted(times))
    )


def listening(port: int) -> None:
    """Return once somebody listens on the port."""
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


def _locked(path: Path) -> None:
    """Keep the file locked for longer than a lease lasts."""
    connection = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(OUTAGE_S)
    connection.execute("ROLLBACK")
    connection.close()


def _restart(embedded: "EmbeddedPostgres") -> None:
    """Stop PostgreSQL as a crash would, and start it after longer than a lease lasts."""
    pid = embedded.pid
    if pid is not None:
        os.kill(pid, signal.SIGQUIT)
    time.sleep(OUTAGE_S)
    while not embedded.revive():
        time.sleep(0.1)


def measured_on() -> str:
    """Return which commit was measured when (UTC), and whether files differed from it."""
    commit = subprocess.run([GIT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    now = datetime.now(UTC)
    return f"Commit {commit.stdout.strip() or 'unknown'}, {now:%Y-%m-%d %H:%M} UTC, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."


def report(kind: str, inbox: str, figures: dict[str, int]) -> str:
    """Return the figures as Markdown."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in figures.items())
    head = f"# Receiver for {kind.title()}, inbox in {inbox}: SIGKILL at random times under load\n\n`make reliability-receiver`, {SENDERS} senders, each event sent until it is answered with 200.\nThe receiver is killed; PostgreSQL is stopped at once and started again, or the SQLite file locked by somebody else, for {OUTAGE_S:g} s.\nAll the time another process opens the inbox, looks at it and leaves it.\n{measured_on()}\n"
    return f"{head}\n| | |\n|---|---:|\n{rows}\n"


def main() -> int:
    """Run a campaign, or the receiver that it kills."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
        return 0
    if sys.argv[1:2] == ["visit"]:
        visit(sys.argv[2])
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inbox", choices=["sqlite", "postgresql"])
    parser.add_argument("--receiver", choices=sorted(RECEIVERS), default="python")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="esimhooks-kills-") as name:
        folder = Path(name)
        if given.inbox == "sqlite":
            path = folder / "inbox.db"
            figures = campaign(given.receiver, f"sqlite:///{path}", given.kills, folder, lambda: _locked(path))
        else:
            from esimhooks.server.store.embedded import EmbeddedPostgres  # noqa: PLC0415 - only where it is used

            # A folder of its own, directly below /tmp: PostgreSQL's own user must be able to pass what is above it.
            with tempfile.TemporaryDirectory(prefix="esimhooks-kills-") as data:
                embedded = EmbeddedPostgres(Path(data))
                try:
                    figures = campaign(
                        given.receiver, embedded.start(), given.kills, folder, lambda: _restart(embedded)
                    )
                finally:
                    embedded.stop()
    text = report(given.receiver, given.inbox, figures)
    print(text)
    if given.report:
        given.report.write_text(text, encoding="utf-8")
    wrong = (
        *("transactional: without effect", "transactional: more than one effect", "background: without effect"),
        "background: called again without either",
    )
    return 1 if any(figures[one] for one in (*wrong, "work left or dead")) else 0


if __name__ == "__main__":
    sys.exit(main())
