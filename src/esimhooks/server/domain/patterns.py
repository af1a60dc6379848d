"""Text that comes from outside: patterns for msgspec's `Meta(pattern=...)`, and the types that are made with them."""

from typing import Annotated

from msgspec import Meta

END = r"$(?!\n)"
"""The very end: `$` alone lets a line break pass."""
CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
"""Control characters, ends of lines, and those that turn the direction of what follows: text could look like another."""
PRINTABLE = rf"^[^{CONTROLS}]*{END}"
"""Text without control characters; PostgreSQL holds no NUL."""

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=PRINTABLE)]
Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Url = Annotated[str, Meta(min_length=1, max_length=2048, pattern=PRINTABLE)]
