"""Clocks of nodes that can be set: libfaketime, preloaded into a node, adds what a file says to the time of day.

A file comes in; the environment for the node and `set` come out. The monotonic clock is left alone, as a real step of
the clock leaves it.
"""

from pathlib import Path

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)


def library() -> str | None:
    """Return where libfaketime is installed (Debian: the package `libfaketime`), None where it is not."""
    return next((path for path in LIBRARIES if Path(path).exists()), None)


class Clock:
    """The clock of one node."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def environment(self) -> dict[str, str]:
        """Return what the node must be started with; nothing where there is no libfaketime."""
        preloaded = library()
        if preloaded is None:
            return {}
        return {
            "LD_PRELOAD": preloaded,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def set(self, seconds: int) -> None:
        """Let the node's clock be so many seconds ahead of the machine's (or behind)."""
        staged = self._file.with_suffix(".new")
        staged.write_text(f"{seconds:+d}\n")
        staged.rename(self._file)
