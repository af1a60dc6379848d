"""`python -m benchmarks.receiver`: how fast a receiver works off what waits, and what a claim costs by how much waits.

In come numbers of events, out goes a table, and a report with `--out`. The inbox is a SQLite file in a folder that is
removed; handlers do nothing, so that all time is the receiver's own. Nothing is sent over a network.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esimhooks import Event, Receiver, Retrying
from esimhooks.receiver.inbox import database_of
from esimhooks.receiver.runs import Runs
from esimhooks.signing import new_secret

HANDLER = "welcome"
CLAIMED_AT_ONCE = 10
CLAIMS = 50
WAITING = (1_000, 10_000, 100_000)


@contextmanager
def inbox_of(waiting: int) -> Iterator[str]:
    """Yield the URL of an inbox in which so many events wait."""
    with tempfile.TemporaryDirectory(prefix="esimhooks-receiver-") as folder:
        url = f"sqlite:///{Path(folder) / 'inbox.db'}"
        database = database_of(url)
        now = time.time()
        body = json.dumps({"event": "esim.activated", "data": {"id": "esim_1"}}).encode()
        events = [{"id": f"evt_{number}", "now": now - 60 + number / 1e6, "body": body} for number in range(waiting)]
        with database.writing() as session:
            session.run_many(
                "INSERT INTO esimhooks_inbox (id, event, sent_at, received_at, hold_until, body)"
                " VALUES (:id, 'esim.activated', :now, :now, :now, :body)",
                events,
            )
            session.run_many(
                "INSERT INTO esimhooks_runs (event_id, handler, state, due_at)"
                f" VALUES (:id, '{HANDLER}', 'waiting', :now)",
                events,
            )
        database.close()
        yield url


def drained(waiting: int) -> tuple[float, float]:
    """Return events a second, and CPU microseconds an event, of a receiver that works off so many."""
    with inbox_of(waiting) as url:
        receiver = Receiver(new_secret(), inbox=url)

        @receiver.on("*", name=HANDLER)
        def welcome(event: Event) -> None:
            """Do nothing."""

        began, busy = time.monotonic(), time.process_time()
        stats = receiver.drain(within_s=600)
        took_s, cpu_s = time.monotonic() - began, time.process_time() - busy
        assert stats.done == waiting, stats
        return waiting / took_s, cpu_s / waiting * 1e6


def claim_ms(waiting: int) -> float:
    """Return the median time of a claim where so many wait, in milliseconds."""
    with inbox_of(waiting) as url:
        database = database_of(url)
        runs, took = Runs(database, Retrying()), []
        for _ in range(CLAIMS):
            began = time.perf_counter()
            claims = runs.claim([HANDLER], limit=CLAIMED_AT_ONCE, now=time.time())
            took.append((time.perf_counter() - began) * 1000)
            assert len(claims) == CLAIMED_AT_ONCE
        database.close()
        return statistics.median(took)


def main() -> None:
    """Measure, print a table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="how many wait to be worked off (%(default)s)")
    parser.add_argument("--waiting", type=int, nargs="*", default=WAITING, help="backlogs to claim from (%(default)s)")
    parser.add_argument("--out", type=Path, help="write the report here")
    options = parser.parse_args()
    rate, cpu_us = drained(options.events)
    lines = [
        "# A receiver with an inbox in SQLite",
        "",
        f"`python -m benchmarks.receiver` on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; handlers do nothing",
        "",
        "| figure | value |",
        "|---|---:|",
        f"| {options.events:,} waiting events are worked off, events/s | {rate:,.0f} |",
        f"| CPU of the process, us an event | {cpu_us:,.0f} |",
        *(
            f"| a claim of {CLAIMED_AT_ONCE}, {waiting:,} waiting, ms | {claim_ms(waiting):.2f} |"
            for waiting in options.waiting
        ),
    ]
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
