"""Room on the disk of a folder: the folder comes in, what is free and whether that is enough go out."""

import shutil
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

GIB = 1024**3
LOW_BYTES, FULL_BYTES = 2 * GIB, GIB // 4


class DiskState(StrEnum):
    """Whether there is enough room."""

    FINE = "fine"
    LOW = "low"
    FULL = "full"


class DiskSpace(Struct, frozen=True):
    """Room on a disk in bytes; `folder` is the one that was looked at."""

    folder: Path
    free: int
    total: int

    @property
    def state(self) -> DiskState:
        """Whether there is enough room."""
        if self.free < FULL_BYTES:
            return DiskState.FULL
        return DiskState.LOW if self.free < LOW_BYTES else DiskState.FINE


def disk_space(folder: Path) -> DiskSpace:
    """Return the room on the disk of a folder, or of the one above that exists."""
    path = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(path)
    return DiskSpace(path, usage.free, usage.total)
