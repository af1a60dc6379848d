"""The system account that the embedded PostgreSQL runs under: PostgreSQL does not run as root.

A data folder comes in, an account goes out that owns paths, runs programs and knows which folders it cannot pass.
"""

import os
import pwd
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esimhooks.server.domain.errors import Broken

SYSTEM_USER = "pgserver"
PROGRAM_LIMIT_S = 120.0


@dataclass(frozen=True)
class SystemAccount:
    """The system account that the server runs under; `switched` where it is not our own."""

    uid: int
    gid: int
    switched: bool

    def own(self, path: Path) -> None:
        """Give the path to a switched account."""
        if self.switched:
            os.chown(path, self.uid, self.gid)

    def options(self) -> dict[str, Any]:
        """Return how its processes start: in a session of their own, without our environment (it holds secrets)."""
        known = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        identity = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switched else {}
        return {"cwd": "/", "env": known, "start_new_session": True, "umask": 0o077, **identity}

    def run(self, *command: str, said: str = "") -> None:
        """Run a program to its end. Raises `Broken` with the last lines that it printed where it fails."""
        done = subprocess.run(
            command, input=said.encode(), capture_output=True, timeout=PROGRAM_LIMIT_S, check=False, **self.options()
        )
        if done.returncode != 0:
            raise Broken(f"{Path(command[0]).name} failed ({done.returncode}): {last_lines(done.stderr)}")

    def barrier(self, path: Path) -> Path | None:
        """Return the first folder on the way down to `path` (inclusive) that a switched account may not pass."""
        for folder in (*reversed(path.parents), path) if self.switched else ():
            state = folder.stat()
            passes = 0o100 if state.st_uid == self.uid else 0o010 if state.st_gid == self.gid else 0o001
            if not state.st_mode & passes:
                return folder
        return None


def account_for(pgdata: Path) -> SystemAccount:
    """Return whom PostgreSQL runs as: us, or - it refuses root - the owner of the data, or a system user."""
    if os.geteuid() != 0:
        if pgdata.exists() and pgdata.stat().st_uid != os.geteuid():
            raise Broken(f"the folder {pgdata} belongs to another user (id {pgdata.stat().st_uid})")
        return SystemAccount(os.geteuid(), os.getegid(), switched=False)
    if pgdata.exists():
        owner = pgdata.stat()
        if owner.st_uid == 0:
            raise Broken(f"PostgreSQL does not run as root: chown -R {SYSTEM_USER} {pgdata}")
        return SystemAccount(owner.st_uid, owner.st_gid, switched=True)
    entry = _system_user()
    return SystemAccount(entry.pw_uid, entry.pw_gid, switched=True)


def _system_user() -> pwd.struct_passwd:
    """Return the system user for servers that root starts; make it where it is missing."""
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    options = ("--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin")
    with suppress(OSError, subprocess.SubprocessError):  # another process may be making it: only the result counts
        subprocess.run(("useradd", *options, SYSTEM_USER), capture_output=True, timeout=30, check=False)
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise Broken(
            f"PostgreSQL does not run as root: run as another user, or make one (useradd --system {SYSTEM_USER})"
        ) from None


def last_lines(output: bytes) -> str:
    """Return the end of what a program printed, on one line."""
    return " | ".join(output.decode(errors="replace").strip().splitlines()[-5:])
