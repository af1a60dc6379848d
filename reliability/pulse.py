"""The pulse: whether requests are accepted and webhooks arrive at every lane right now, by the journals as they grow.

Only for the campaign to know when to go on; what the report says is worked out afresh from the whole journals.
"""

import time
from collections.abc import Collection
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from reliability.lines import Heard, Told
from reliability.processes import GaveUp, until
from reliability.recovery import LEFT_OVER_S

Line = TypeVar("Line", bound=Struct)


class Tail(Generic[Line]):
    """Reads what was added to a journal since the last look."""

    def __init__(self, path: Path, kind: type[Line]) -> None:
        self._path = path
        self._decode = msgspec.json.Decoder(kind).decode
        self._offset = path.stat().st_size if path.exists() else 0

    def order_update(self) -> list[Line]:
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

    def __init__(self, told: Path, heard: Path, lanes: Collection[str]) -> None:
        self._told = Tail(told, Told)
        self._heard = Tail(heard, Heard)
        self._accepted_at = 0.0
        self._arrived_at = dict.fromkeys(lanes, 0.0)

    async def felt_since(self, moment: float, *, within_s: float) -> bool:
        """Return true once everything has gone on since the moment, false if it does not in so many seconds."""
        try:
            await until(lambda: self._goes_on_since(moment), "recovery", within_s=within_s)
        except GaveUp:
            return False
        return True

    def quiet_s(self) -> float:
        """Return for how many seconds nothing has arrived."""
        self._look()
        return time.time() - max(self._arrived_at.values())

    def _goes_on_since(self, moment: float) -> bool:
        self._look()
        return self._accepted_at > moment and min(self._arrived_at.values()) > moment + LEFT_OVER_S

    def _look(self) -> None:
        for told in self._told.order_update():
            if told.acknowledged:
                self._accepted_at = max(self._accepted_at, told.at)
        for heard in self._heard.order_update():
            if heard.lane is not None:
                self._arrived_at[heard.lane] = max(self._arrived_at[heard.lane], heard.at)
