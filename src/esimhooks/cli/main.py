"""The entry point of `esimhooks`: words of the command line come in, an exit code goes out.

0 done, 1 failed, 2 wrong usage. Whatever is expected to go wrong becomes one message on standard error, never a
traceback. This file needs the standard library only: it says what to install where the rest is missing.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from esimhooks.version import __version__

USAGE = 2
BARE = """\
esimhooks turns eSIM lifecycle notifications into signed webhooks that arrive.

The command line is not installed, only what a receiver needs
(`from esimhooks import Webhook, Receiver`). To add it, install one of these:

  pip install "esimhooks[cli]"     listen, trigger, verify, check-receiver,
                                   endpoints, deliveries and everything that
                                   calls a server
  pip install "esimhooks[server]"  the same, and the server: demo, serve
"""
NO_COMMANDS = (
    'the command line is not installed: pip install "esimhooks[cli]", or "esimhooks[server]" for the server too'
)
NO_SERVER = 'this command needs the server: pip install "esimhooks[server]"'


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command, by default that of this process, and exit with its code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _run(words)
    except KeyboardInterrupt:  # where no command runs yet: its modules are being loaded
        sys.exit(1)


def _run(words: Sequence[str]) -> NoReturn:
    try:
        app = import_module("esimhooks.cli.app")
    except ModuleNotFoundError as error:
        _raise_unless_extra(error)
        sys.exit(_bare(words))
    try:
        code = app.main(words)
    except ModuleNotFoundError as error:
        _raise_unless_extra(error)
        print(f"error: {NO_SERVER}", file=sys.stderr)  # noqa: T201 - the same
        code = USAGE
    sys.exit(code)


def _bare(words: Sequence[str]) -> int:
    """Answer what can be answered without the packages of the command line."""
    if not words or words[0] in ("-h", "--help"):
        print(BARE, end="")  # noqa: T201 - there may be no Rich to print with
        return 0 if words else USAGE
    if words[0] == "--version":
        print(f"esimhooks {__version__}")  # noqa: T201 - the same
        return 0
    print(f"error: {NO_COMMANDS}", file=sys.stderr)  # noqa: T201 - the same
    return USAGE


def _raise_unless_extra(error: ModuleNotFoundError) -> None:
    """Raise where a module of this package is missing, which is a defect."""
    if (error.name or "esimhooks").partition(".")[0] == "esimhooks":
        raise error
