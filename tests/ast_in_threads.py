"""Lets one thread at a time into `ast.parse`, where Python needs that: before 3.11.9 two at once break each other.

pytest parses to show a failure, a receiver's threads to log a traceback (https://github.com/python/cpython/issues/106905:
"AST constructor recursion depth mismatch"), which ends pytest.
"""

import ast
import os
import sys
import threading
from functools import wraps
from typing import Any

_parse = ast.parse
_turn = threading.RLock()


@wraps(_parse)
def _parse_alone(*args: Any, **options: Any) -> Any:
    with _turn:
        return _parse(*args, **options)


def make_safe() -> None:
    """Guard `ast.parse` from now on."""
    if sys.version_info >= (3, 11, 9):
        return
    ast.parse = _parse_alone
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_turn.acquire, after_in_parent=_turn.release, after_in_child=_turn.release)
