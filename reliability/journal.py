"""Journals: append-only files of JSON lines that survive a kill -9 of whoever writes them.

Lines go in, and `keep` returns once they are on disk (fsync); `read` gives the whole lines back. A last line that was
torn by a kill was never counted and is dropped. Knows nothing of what the lines mean.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

Line = TypeVar("Line", bound=Struct)

_encode = msgspec.json.Encoder().encode


class Journal:
    """One file, written by one process at a time."""

    def __init__(self, path: Path) -> None:
        _drop_torn_line(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._buffer = bytearray()
        self._noted = 0
        self._on_disk = 0
        self._flushing: asyncio.Future[None] | None = None

    def note(self, line: Struct) -> None:
        """Write the line together with the next one that is kept."""
        self._buffer += _encode(line) + b"\n"
        self._noted += 1

    async def keep(self, line: Struct) -> None:
        """Return once the line, and all noted before it, are on disk. Those who wait share one fsync."""
        self.note(line)
        await self.sync()

    async def sync(self) -> None:
        """Return once all that was noted is on disk."""
        wanted = self._noted
        while self._on_disk < wanted:
            if self._flushing is None or self._flushing.done():
                self._flushing = asyncio.ensure_future(self._flush())
            await asyncio.shield(self._flushing)  # whoever waits may go away, the lines are written all the same

    async def _flush(self) -> None:
        lines, upto = bytes(self._buffer), self._noted
        self._buffer.clear()
        await asyncio.to_thread(_append, self._descriptor, lines)
        self._on_disk = upto

    def keep_now(self, line: Struct) -> None:
        """The same for callers that may block; not beside `keep`."""
        _append(self._descriptor, _encode(line) + b"\n")


def read(path: Path, kind: type[Line]) -> Iterator[Line]:
    """Yield the lines of a journal; none where there is no such file."""
    decode = msgspec.json.Decoder(kind).decode
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield decode(line)


def _append(descriptor: int, lines: bytes) -> None:
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        text = file.read()
        file.truncate(text.rfind(b"\n") + 1)
