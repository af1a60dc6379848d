"""Threads for calls that block and may never return.

Calls come in, futures go out. There are as many threads as calls at work: a call that hangs keeps its thread and no one
else's. The threads are daemons, so that a hanging call does not keep the interpreter from ending.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Any, TypeVar

from esimhooks.receiver.failures import caught, log

MAX_IDLE_THREADS = 32

T = TypeVar("T")
Job = tuple[Future[Any], Callable[[], Any]]


class Threads:
    """Starts a thread where none is idle. Several loops and threads may share it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = Condition()
        self._busy = 0
        self._idle: list[SimpleQueue[Job | None]] = []
        self._hanging: Counter[str] = Counter()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Begin a call now. Raises `RuntimeError` where the interpreter is ending and gives no more threads."""
        with self._changed:
            jobs = self._idle.pop() if self._idle else None
            self._busy += 1
        if jobs is None:
            jobs = SimpleQueue()
            thread = Thread(target=self._serve, args=(jobs,), name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                self._on_ended()
                raise
        future: Future[T] = Future()
        jobs.put((future, call))
        return future

    def give_up(self, future: Future[Any], *, name: str) -> None:
        """Count a call that did not end in time, until it does."""
        self._count(name, 1)
        future.add_done_callback(lambda _: self._count(name, -1))
        log.error("%s hangs: its thread is given up, now %d of its calls", name, self.hanging(name))

    def hanging(self, name: str) -> int:
        """Return how many calls of this name were given up and have not ended."""
        return self._hanging[name]

    def close(self, *, within_s: float) -> None:
        """Wait for calls at work, those that were given up aside, and end the idle threads."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy <= self._hanging.total(), within_s)
            idle, self._idle = self._idle, []
        for jobs in idle:
            jobs.put(None)

    def _count(self, name: str, change: int) -> None:
        with self._changed:
            self._hanging[name] += change

    def _on_ended(self) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()

    def _serve(self, jobs: "SimpleQueue[Job | None]") -> None:
        while (job := jobs.get()) is not None:
            _work(*job)
            del job  # an idle thread keeps nothing alive
            self._on_ended()
            with self._changed:
                if len(self._idle) >= MAX_IDLE_THREADS:
                    return
                self._idle.append(jobs)


def _work(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    with caught() as failure:
        result = call()
    if failure.error is None:
        future.set_result(result)
    else:
        future.set_exception(failure.error)
