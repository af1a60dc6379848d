"""What must be thrown away when a process forks: connections, locks, threads, the name that leases carry.

Methods come in that are called around each fork of this process for as long as their objects live. Servers that fork
without Python's knowledge (uWSGI without threads) are noticed by `ProcessMark.forked`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from weakref import WeakMethod

Hook = Callable[[], None]

_before: list[WeakMethod[Hook]] = []
_in_parent: list[WeakMethod[Hook]] = []
_in_child: list[WeakMethod[Hook]] = []


def register(*, before: Hook | None = None, in_parent: Hook | None = None, in_child: Hook) -> None:
    """Call these methods before a fork in the parent, and after it in the parent or the child."""
    for hooks, hook in ((_before, before), (_in_parent, in_parent), (_in_child, in_child)):
        if hook is not None:
            hooks[:] = [one for one in hooks if one() is not None]
            hooks.append(WeakMethod(hook))


class ProcessMark:
    """Remembers in which process it was made or last renewed."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Belong to this process from now on."""
        self._pid = os.getpid()

    @property
    def forked(self) -> bool:
        """Whether this is another process than the one it belongs to."""
        return self._pid != os.getpid()


@contextmanager
def ending_children() -> Iterator[None]:
    """End a process that the block has forked when it leaves the block: what comes after is its parent's to do."""
    parent, code = os.getpid(), 1
    try:
        yield
        code = 0
    finally:
        if os.getpid() != parent:
            # Not by the log: another thread of the parent may have been writing to it, and its lock is never released here.
            with suppress(OSError):
                os.write(
                    2, b"esimhooks.receiver: a process that a handler has forked came back from it, and is ended\n"
                )
            os._exit(code)


def _calling(hooks: list[WeakMethod[Hook]]) -> Hook:
    def call() -> None:
        for one in list(hooks):
            hook = one()
            if hook is not None:
                hook()

    return call


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=_calling(_before), after_in_parent=_calling(_in_parent), after_in_child=_calling(_in_child)
    )
