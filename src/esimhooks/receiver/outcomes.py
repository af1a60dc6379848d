"""Writes down what came of runs, until it is written: many in one commit, however long the inbox is away.

Outcomes come in from any thread, which waits until its own is stored. The leases of runs whose outcome is not yet written
are renewed by the worker, so that nobody else calls their handlers meanwhile.
"""

import threading

from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.handlers import caught
from esimhooks.receiver.logs import log
from esimhooks.receiver.runs import Outcome, Runs

FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 2.0


class Outcomes:
    """Group commit: while one thread writes, the outcomes of others gather for the next commit."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._gathering = threading.Lock()
        self._writing = threading.Lock()
        self._gathered: list[Outcome] = []

    def record(self, outcome: Outcome) -> None:
        """Return once the outcome is stored, by this thread or by another."""
        with self._gathering:
            self._gathered.append(outcome)
        with self._writing:
            with self._gathering:
                batch, self._gathered = self._gathered, []
            if batch:  # otherwise another thread has written ours with its own
                self._write(batch)

    def _write(self, batch: list[Outcome]) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            with caught(Exception) as failure:
                self._runs.record(batch)
            if failure.error is None:
                return
            if not isinstance(failure.error, InboxUnavailable):
                if len(batch) == 1:
                    log.error("the outcome of %s is lost", batch[0].claim.key, exc_info=failure.error)
                for outcome in batch if len(batch) > 1 else ():  # one that cannot be stored keeps no other from it
                    self._write([outcome])
                return
            log.warning("the outcome of %d runs cannot be written yet: %s", len(batch), failure.error)
            threading.Event().wait(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)
