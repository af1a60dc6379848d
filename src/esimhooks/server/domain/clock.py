"""Time as an argument: whoever needs the present time gets a clock."""

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
"""Returns the present time as aware UTC."""
