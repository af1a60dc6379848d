"""Data volumes: integer bytes inside, megabytes on the wire.

One MB is 1 048 576 bytes (events guide, "Data Units"; the providers' GB is 1024 MB).
"""

BYTES_PER_MB = 1_048_576


def megabytes(volume_bytes: int) -> int | float:
    """Return the volume in MB, rounded to 2 decimals; a whole number of MB comes as an integer."""
    rounded = round(volume_bytes / BYTES_PER_MB, 2)
    whole = int(rounded)
    return whole if whole == rounded else rounded


def from_megabytes(volume_mb: float) -> int:
    """Return the volume in bytes, rounded to the nearest byte."""
    return round(volume_mb * BYTES_PER_MB)
