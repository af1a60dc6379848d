"""Data volumes: integer bytes inside, megabytes on the wire.

One MB is 1 048 576 bytes (events guide, "Data Units"; the providers' GB is 1024 MB).
"""

import math

BYTES_PER_MB = 1_048_576


def megabytes(volume_bytes: int) -> int | float:
    """Return the volume in MB, rounded half up to 2 decimals; a whole number of MB comes as an integer."""
    hundredths = (200 * volume_bytes + BYTES_PER_MB) // (2 * BYTES_PER_MB)
    return hundredths // 100 if hundredths % 100 == 0 else hundredths / 100


def from_megabytes(volume_mb: float) -> int:
    """Return the volume in bytes, rounded half up to a byte."""
    return math.floor(volume_mb * BYTES_PER_MB + 0.5)
