"""Time as an argument: whoever needs the present moment is given a clock."""

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
"""Returns the present moment as aware UTC."""
