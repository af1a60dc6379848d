"""The pulse: whether requests are accepted and webhooks arrive at every lane right now, by the journals as they grow.

Only for the campaign to know when to go on; what the report says is worked out afresh from the whole journals.
"""

import time
from collections.abc import Collection
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from reliability.lines import ReceivedRequest, SentUpdate
from reliability.processes import GaveUp, until
from reliability.recovery import LEFT_OVER_S

Line = TypeVar("Line", bound=Struct)


class Tail(Generic[Line]):
    """Reads what was added to a journal since the last read."""

    def __init__(self, path: Path, kind: type[Line]) -> None:
        self._path = path
        self._decode = msgspec.json.Decoder(kind).decode
        self._offset = path.stat().st_size if path.exists() else 0

    def new_lines(self) -> list[Line]:
        """Return the whole lines that are new."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [self._decode(line) for line in whole.splitlines()]


class Pulse:
    """The last signs of life."""

    def __init__(self, sent: Path, received: Path, lanes: Collection[str]) -> None:
        self._sent = Tail(sent, SentUpdate)
        self._received = Tail(received, ReceivedRequest)
        self._accepted_at = 0.0
        self._arrived_at = dict.fromkeys(lanes, 0.0)

    async def felt_since(self, since: float, *, within_s: float) -> bool:
        """Return true once everything has gone on since then, false if it does not within `within_s`."""
        try:
            await until(lambda: self._goes_on_since(since), "recovery", within_s=within_s)
        except GaveUp:
            return False
        return True

    def quiet_s(self) -> float:
        """Return for how many seconds nothing has arrived."""
        self._look()
        return time.time() - max(self._arrived_at.values())

    def _goes_on_since(self, since: float) -> bool:
        self._look()
        return self._accepted_at > since and min(self._arrived_at.values()) > since + LEFT_OVER_S

    def _look(self) -> None:
        for sent in self._sent.new_lines():
            if sent.acknowledged:
                self._accepted_at = max(self._accepted_at, sent.at)
        for received in self._received.new_lines():
            if received.lane is not None:
                self._arrived_at[received.lane] = max(self._arrived_at[received.lane], received.at)
