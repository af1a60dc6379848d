"""Dumps of a whole database with PostgreSQL's own programs, those of the embedded one: addresses and files in, nothing out.

A dump is in the custom format of pg_dump, consistent, taken beside a running server. It is restored into PostgreSQL 14 and
newer, in one transaction. This module knows no table but the one that says that a database is in use.
"""

import os
import subprocess
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from esimhooks.server.domain.errors import Broken
from esimhooks.server.store.database import connection
from esimhooks.server.store.embedded import packaged_programs
from esimhooks.server.store.system_account import last_lines

NEWER_SETTING = b"SET transaction_timeout = 0;\n"
"""Written by pg_dump 17 and newer, unknown to servers before."""


def dump(dsn: str, file: Path) -> None:
    """Write all of the database into the file (mode 600), which appears once it is whole. Raises `Broken`."""
    draft = file.with_name(f"{file.name}.new")
    draft.touch(mode=0o600)
    draft.chmod(0o600)
    address, environment = _without_password(dsn)
    try:
        with draft.open("wb") as written:
            options = ("--format=custom", "--no-owner", "--no-privileges")
            dumping = _begin("pg_dump", *options, f"--dbname={address}", environment=environment, stdout=written)
            _finish(dumping, "pg_dump")
            os.fsync(written.fileno())
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)


async def require_empty(dsn: str) -> None:
    """Raise `Broken` where the database has tables, which a restore would mix with."""
    async with connection(dsn) as conn:
        if await conn.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()", timeout=30):
            raise Broken("there are tables in the database already: restore into an empty one")


def restore(file: Path, dsn: str) -> None:
    """Load the dump into an empty database, all of it or nothing. Raises `Broken`."""
    address, environment = _without_password(dsn)
    script = _begin("pg_restore", "--no-owner", "--no-privileges", "--file=-", str(file), stdout=subprocess.PIPE)
    loading = _begin(
        "psql",
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        f"--dbname={address}",
        environment=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with script, loading:
        _copy(script, loading)
        _finish(loading, "psql")
        _finish(script, "pg_restore")


def _copy(script: "subprocess.Popen[bytes]", loading: "subprocess.Popen[bytes]") -> None:
    if script.stdout is None or loading.stdin is None:
        raise Broken("a program has no pipe")
    try:
        for line in script.stdout:
            if line != NEWER_SETTING:
                loading.stdin.write(line)
        loading.stdin.close()
    except BrokenPipeError:
        script.kill()  # psql has said why


def _begin(
    program: str,
    *arguments: str,
    environment: dict[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: "int | IO[bytes]",
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        (packaged_programs() / program, *arguments),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | (environment or {}),
    )


def _finish(process: "subprocess.Popen[bytes]", name: str) -> None:
    with process:
        said = process.stderr.read() if process.stderr else b""
    if process.returncode != 0:
        raise Broken(f"{name} failed: {last_lines(said)}")


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """Return the address without its password, which other users of the machine would see, and the variable with it."""
    parts = urlsplit(dsn)
    if not parts.password:
        return dsn, {}
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}@{host}").geturl(), {"PGPASSWORD": unquote(parts.password)}
