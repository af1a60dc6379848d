"""Time as an argument: whoever needs the present time gets a clock."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present time as aware UTC."""


def system_clock() -> datetime:
    """Return the time of this machine, aware UTC."""
    return datetime.now(UTC)
