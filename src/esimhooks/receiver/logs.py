"""The receiver's log. Records come in; what an application's own log handlers raise does not come out.

A log that cannot be written must not cost an event its outcome, nor the sender its answer.
"""

import logging
from contextlib import suppress
from typing import Any


class _GuardedLog(logging.LoggerAdapter[logging.Logger]):
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        with suppress(Exception):
            super().log(level, msg, *args, **{"stacklevel": 2} | kwargs)


log = _GuardedLog(logging.getLogger("esimhooks.receiver"))
