"""Writes down what came of runs, until it is written: many in one commit, however long the inbox is away.

Outcomes come in from any thread, which does not wait; those that are stored go out. The leases of runs whose outcome is
not yet written are renewed by the worker, so that nobody else calls their handlers meanwhile.
"""

import threading
from collections.abc import Callable, Sequence

from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.failures import caught, log, log_failure
from esimhooks.receiver.runs import Outcome, Runs
from esimhooks.receiver.threads import Threads

FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 2.0


class Outcomes:
    """Group commit: while one thread writes, the outcomes of others gather for the next commit.

    `written` is called in that thread with outcomes that need nothing more: they are stored, or lost for good.
    """

    def __init__(self, runs: Runs, threads: Threads, written: Callable[[Sequence[Outcome]], None]) -> None:
        self._runs = runs
        self._threads = threads
        self._written = written
        self._gathering = threading.Lock()
        self._gathered: list[Outcome] = []
        self._at_work = False

    def record(self, outcome: Outcome) -> None:
        """Store an outcome as soon as may be, in another thread."""
        with self._gathering:
            self._gathered.append(outcome)
            begins, self._at_work = not self._at_work, True
        if begins:
            try:
                self._threads.submit(self._write_all)
            except RuntimeError:  # the interpreter is ending and gives no more threads
                self._write_all()

    def _write_all(self) -> None:
        while batch := self._next():
            for one in batch:
                if one.failure.error is not None:
                    log_failure(one.claim.handler, one.claim.event, one.failure, attempt=one.claim.attempts + 1)
            self._write(batch)
            self._written(batch)

    def _next(self) -> list[Outcome]:
        with self._gathering:
            batch, self._gathered = self._gathered, []
            self._at_work = bool(batch)
        return batch

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
