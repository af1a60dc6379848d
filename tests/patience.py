"""How long a test waits for what must come: most of the time that it has, which pytest's `--timeout` sets.

On a machine that is shared a test has a minute instead of five seconds, and then what it waits for has longer too.
"""

import os

SHARE = 0.8
WITHOUT_LIMIT_S = 60.0


def patience_s() -> float:
    """Return the seconds; `pytest_configure` has told the limit of a test."""
    return SHARE * (float(os.environ["TEST_LIMIT_S"]) or WITHOUT_LIMIT_S)
