"""How long a test waits for what must come: most of the time that it has, by its mark or by pytest's `--timeout`.

A wait that is shorter fails on a busy machine long before the test would.
"""

import os

SHARE = 0.8
WITHOUT_LIMIT_S = 60.0


def patience_s() -> float:
    """Return the seconds; `pytest_runtest_setup` has set the limit of the test."""
    return SHARE * (float(os.environ["TEST_LIMIT_S"]) or WITHOUT_LIMIT_S)
