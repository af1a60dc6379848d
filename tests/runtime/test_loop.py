"""The pauses of a loop whose rounds fail."""

import pytest

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.runtime import loop as module
from esimhooks.server.runtime.loop import FIRST_PAUSE_S, MAX_PAUSE_S, Loop, Wake

MAX_JITTER = 1.25


class RecordedPauses(Wake):
    """Waits for nothing, and records for how long it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[float] = []

    async def wait(self, seconds: float) -> None:
        self.recorded.append(seconds)


async def test_what_has_gone_on_for_long_is_begun_again_soon_after_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    lasting_s = [0.0] * 8 + [3600.0, 0.0]
    clock, pauses = [0.0], RecordedPauses()
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])

    async def listen() -> float:
        clock[0] += lasting_s.pop(0)
        if not lasting_s:
            listening.stop()
        raise NotNow("the connection has ended")

    listening = Loop("listening", listen, wake=pauses)
    await listening.run()

    grown, after_long = pauses.recorded[7], pauses.recorded[8]
    assert MAX_PAUSE_S <= grown <= MAX_JITTER * MAX_PAUSE_S
    assert FIRST_PAUSE_S <= after_long <= MAX_JITTER * FIRST_PAUSE_S
