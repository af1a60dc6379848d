"""Namespaces of our own for the campaign: network, mounts and processes, all gone with it, however it ends.

The command line goes in and is run again inside (`unshare`); the exit code comes out. Nothing inside can be reached
from another machine, and nothing it mounts or starts outlives it, a kill -9 of the campaign included. Needs root.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

from reliability.postgres import is_root

MARK = "RELIABILITY_ISOLATED"
PROGRAMS = ("unshare", "ip", "mount", "mkfs.ext4")
PREPARED = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && mount -t tmpfs tmpfs /dev/shm"
"""Where namespaces are named and where PostgreSQL shares memory: both are left as they were outside."""


def inside() -> bool:
    """Whether we run in namespaces of our own."""
    return os.environ.get(MARK) == "yes"


def available() -> bool:
    """Whether such namespaces can be made here."""
    return sys.platform == "linux" and is_root() and all(map(shutil.which, PROGRAMS))


def run_inside(arguments: Sequence[str]) -> int:
    """Run `python -m reliability` with these arguments in namespaces of its own and return its exit code."""
    namespaces = ("unshare", "--net", "--mount", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--")
    # The first process of a namespace inherits its orphans: a shell collects them, which Python would not.
    first = ("sh", "-c", f'{PREPARED}; "$@"; exit $?', "sh")
    command = (*namespaces, *first, sys.executable, "-m", "reliability", *arguments)
    campaign = subprocess.Popen(command, env=os.environ | {MARK: "yes"}, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return campaign.wait()
    finally:
        if campaign.poll() is None:
            campaign.kill()  # and with it everything inside
            campaign.wait()
