"""The entry point of `esimhooks`: words of the command line come in, an exit code goes out.

0 done, 1 failed, 2 wrong usage. Whatever is expected to go wrong becomes one message on standard error, never a
traceback. This file needs the standard library only: it says what to install where the rest is missing.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

HINT = 'the command line needs more than the receiver does: pip install "esimhooks[server]"'
USAGE = 2


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command, by default that of this process, and exit with its code."""
    try:
        app = import_module("esimhooks.cli.app")
        code = app.main(sys.argv[1:] if arguments is None else arguments)
    except ModuleNotFoundError as error:
        if (error.name or "esimhooks").partition(".")[0] == "esimhooks":
            raise
        print(HINT, file=sys.stderr)  # noqa: T201 - there may be no Rich to print with
        code = USAGE
    sys.exit(code)
