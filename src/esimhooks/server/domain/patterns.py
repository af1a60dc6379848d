"""Patterns of text that comes from outside, for msgspec's `Meta(pattern=...)`."""

END = r"$(?!\n)"
"""The very end: `$` alone lets a line break pass."""
PRINTABLE = rf"^[^\x00-\x1f\x7f]*{END}"
"""Text without control characters; PostgreSQL holds no NUL."""
