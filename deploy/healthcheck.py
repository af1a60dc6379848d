"""Whether the node in this container lives: exit code 0 or 1. On the standard library alone.

A node with the role `api` is asked for /healthz, any other for /metrics where ESIMHOOKS_METRICS_PORT is set. Without
either there is nothing to ask, and the process is all that can be told: the container ends with it.
"""

import os
import sys
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 3.0


def address() -> str | None:
    """Return what to ask, by the roles of this node."""
    roles = {role.strip() for role in os.environ.get("ESIMHOOKS_ROLES", "all").split(",")}
    if roles & {"all", "api"}:
        return f"http://127.0.0.1:{os.environ.get('ESIMHOOKS_PORT', '8400')}/healthz"
    port = os.environ.get("ESIMHOOKS_METRICS_PORT")
    return f"http://127.0.0.1:{port}/metrics" if port else None


def lives() -> bool:
    """Return whether the node answers."""
    url = address()
    if url is None:
        return True
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_S):
            return True
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(0 if lives() else 1)
