"""Where the token buckets of a limit are kept: in one process, or in a file that the processes of a node share.

Their number is bounded. What is dropped where there are too many can only let more through.
"""

import mmap
import os
from collections import OrderedDict
from hashlib import blake2b
from pathlib import Path
from struct import Struct as Layout
from typing import Protocol

from msgspec import Struct

MAX_BUCKETS = 10_000


class Bucket(Struct):
    """What one name has left, and when (seconds) that was counted."""

    tokens: float
    filled_at: float


class Buckets(Protocol):
    """A bounded number of buckets, by name."""

    def get(self, name: str) -> Bucket | None:
        """Return the bucket of that name, None where there is none or it was dropped."""

    def put(self, name: str, bucket: Bucket) -> None:
        """Store a bucket, and drop another where there are too many."""


class OwnBuckets:
    """The buckets of one process."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def get(self, name: str) -> Bucket | None:
        """Return the bucket of that name."""
        return self._buckets.get(name)

    def put(self, name: str, bucket: Bucket) -> None:
        """Store a bucket as the one that was used last."""
        self._buckets[name] = bucket
        self._buckets.move_to_end(name)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)


SETS = 4096
WAYS = 4
"""Buckets of a set; with the sets more than the buckets that a process keeps by itself."""
_BUCKET = Layout("Qdd")


class SharedBuckets:
    """The buckets in one file, which is made where it is not there yet; `secret` is known to the node alone.

    A name is found by its hash, which nobody outside can predict, in a set of a few buckets; where all of them are others',
    the one that was used longest ago makes room. Nothing is locked: where two processes count at the same instant one count
    may be lost, which lets one request more through.
    """

    def __init__(self, file: Path, *, secret: bytes) -> None:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, SETS * WAYS * _BUCKET.size)
            self._memory = mmap.mmap(descriptor, SETS * WAYS * _BUCKET.size)
        finally:
            os.close(descriptor)
        self._secret = secret[: blake2b.MAX_KEY_SIZE]

    def get(self, name: str) -> Bucket | None:
        """Return the bucket of that name, None where there is none or it was dropped."""
        tag, slots = self._slots(name)
        for slot in slots:
            found, tokens, filled_at = _BUCKET.unpack_from(self._memory, slot)
            if found == tag:
                return Bucket(tokens, filled_at)
        return None

    def put(self, name: str, bucket: Bucket) -> None:
        """Store a bucket, in the slot of its name or of the one that was used longest ago."""
        tag, slots = self._slots(name)
        kept = [(slot, *_BUCKET.unpack_from(self._memory, slot)) for slot in slots]
        slot = next(
            (slot for slot, found, _, _ in kept if found == tag),
            min(kept, key=lambda one: (one[1] != 0, one[3]))[0],
        )
        _BUCKET.pack_into(self._memory, slot, tag, bucket.tokens, bucket.filled_at)

    def _slots(self, name: str) -> tuple[int, range]:
        tag = int.from_bytes(blake2b(name.encode(), digest_size=8, key=self._secret).digest()) or 1
        first = tag % SETS * WAYS * _BUCKET.size
        return tag, range(first, first + WAYS * _BUCKET.size, _BUCKET.size)
