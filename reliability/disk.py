"""A disk that can be full: a file system in a file, mounted in the campaign's private namespace. Needs root.

Its space is only promised, so a large one costs little until something is written to it.
"""

import os
from contextlib import suppress
from pathlib import Path

from reliability.processes import run

SIZE_BYTES = 6 << 30
PIECES_BYTES = (256 << 20, 16 << 20, 1 << 20, 64 << 10, 4 << 10)


class SmallDisk:
    """A disk mounted at `folder`; its image lies beside it and is used again where it is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        image = folder.with_suffix(".img")
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(SIZE_BYTES)
            run("mkfs.ext4", "-q", "-m0", "-F", str(image))
        folder.mkdir(exist_ok=True)
        run("mount", "-o", "loop", str(image), str(folder))
        folder.chmod(0o755)
        self.free()

    def fill(self) -> None:
        """Leave not a block free."""
        descriptor = os.open(self.folder / "filler", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            end = 0
            for piece in PIECES_BYTES:
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(descriptor, end, piece)
                        end += piece
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Give the space back."""
        (self.folder / "filler").unlink(missing_ok=True)
