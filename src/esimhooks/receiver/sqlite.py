"""The inbox in a SQLite file, with the standard library's driver; any number of threads and processes may share it.

Sessions come out of it, `sqlite3` errors do not. It must not be used on a network file system: WAL needs shared memory.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from esimhooks.receiver import forks
from esimhooks.receiver.database import WAIT_S, Row
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.failures import log
from esimhooks.receiver.idle import Idle
from esimhooks.receiver.schema import upgrade

FILE_MODE = 0o600
"""Bodies hold activation codes and personal data. SQLite gives its files beside the inbox the same mode."""

_TYPES = {"seconds": "real", "bytes": "blob"}


class SqliteSession:
    """One connection inside a transaction. `release`: ends the turn of this writer within the process.

    Its cursors are its own, however a handler has set up the connection.
    """

    def __init__(self, connection: sqlite3.Connection, *, release: Callable[[], None] = lambda: None) -> None:
        self._connection = connection
        self._release = release
        self._aborted_by: int | None = None
        # Held while a statement of the inbox runs, so that an abort comes before or after it.
        self._using = threading.Lock()

    def rows(self, statement: str, **values: object) -> list[Row]:
        """Return all rows of a query."""
        with self._used() as connection:
            return sqlite3.Cursor(connection).execute(statement, values).fetchall()

    def run(self, statement: str, **values: object) -> int:
        """Execute a statement; return how many rows it touched."""
        with self._used() as connection:
            return sqlite3.Cursor(connection).execute(statement, values).rowcount

    def run_many(self, statement: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Execute a statement once for each of these values."""
        with self._used() as connection:
            connection.executemany(statement, rows)

    def take_turn(self, key: str) -> None:
        """There is one writer at a time as it is."""

    @contextmanager
    def savepoint(self) -> Iterator[Any]:
        """Yield the `sqlite3.Connection`; it refuses to begin, commit or roll back inside the block."""
        with self._used() as connection:
            connection.execute("SAVEPOINT esimhooks_effect")
            connection.set_authorizer(self._authorized)
        try:
            yield connection
        except BaseException:
            self._end_savepoint("ROLLBACK TO esimhooks_effect")
            raise
        self._end_savepoint("RELEASE esimhooks_effect")

    def abort(self) -> None:
        """From another thread: undo the transaction; whatever that thread does on the connection later is refused.

        Not by closing the connection, which SQLite does not allow while another thread is inside a statement.
        """
        with self._using:
            self._aborted_by = threading.get_ident()
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
        self._release()

    def interrupt(self) -> None:
        """From another thread: let the statement that runs fail."""
        with suppress(sqlite3.Error):
            self._connection.interrupt()

    @contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        with self._using:
            if self._aborted_by is not None:
                raise sqlite3.OperationalError("the transaction was given up")
            yield self._connection

    def _end_savepoint(self, statement: str) -> None:
        with self._used() as connection:
            connection.set_authorizer(None)
            connection.text_factory = str  # whatever the handler has set
            connection.execute(statement)

    def _authorized(self, action: int, *_: object) -> int:
        if self._aborted_by is None:
            return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK
        return sqlite3.SQLITE_OK if threading.get_ident() == self._aborted_by else sqlite3.SQLITE_DENY


class SqliteDatabase:
    """Connections to one file."""

    skip_locked = ""

    def __init__(self, path: str) -> None:
        self._path = str(Path(path).absolute())  # a process may go to another folder, as daemons do
        self._idle: Idle[sqlite3.Connection] = Idle(_abandon)
        self._handler_pool: Idle[sqlite3.Connection] = Idle(_abandon)
        """Those that handlers work on. They keep no statements: each one is to ask the authorizer, which refuses all of
        them once a transaction was given up."""

        # Within a process threads queue here, which is faster and fairer than SQLite's polling for its lock.
        self._writer = threading.Lock()
        self._ready = False
        self._opened: tuple[int, int] | None = None
        """Which file it was, by device and inode, when its tables were last looked at."""

        forks.register(in_child=self._after_fork_in_child)

    @contextmanager
    def reading(self, *, within_s: float = WAIT_S) -> Iterator[SqliteSession]:
        """Yield a session that sees one snapshot."""
        with self._transaction(self._idle, "BEGIN", within_s) as session:
            yield session

    @contextmanager
    def writing(
        self, *, within_s: float = WAIT_S, durable: bool = True, handlers: bool = False
    ) -> Iterator[SqliteSession]:
        """Yield a session that is the only writer; committed at the end, to disk where it is `durable`."""
        deadline = time.monotonic() + within_s
        if not self._writer.acquire(timeout=max(0.0, within_s)):
            raise InboxUnavailable("SQLite: the inbox is locked by another thread")
        turn = [self._writer]

        def release() -> None:  # once, by this thread or by the one that gives it up
            with suppress(IndexError):
                turn.pop().release()

        try:
            # IMMEDIATE takes the lock at once: a reader that becomes a writer later can be refused without waiting.
            pool, left_s = self._handler_pool if handlers else self._idle, deadline - time.monotonic()
            with self._transaction(pool, "BEGIN IMMEDIATE", left_s, durable=durable, release=release) as session:
                yield session
        finally:
            release()

    def close(self) -> None:
        """Close all connections, those in use when they are handed back."""
        self._idle.close()
        self._handler_pool.close()

    def _after_fork_in_child(self) -> None:
        """Let the child write, whatever thread of its parent was writing."""
        self._writer = threading.Lock()

    @contextmanager
    def _transaction(
        self,
        pool: Idle[sqlite3.Connection],
        begin: str,
        within_s: float,
        *,
        durable: bool = True,
        release: Callable[[], None] = lambda: None,
    ) -> Iterator[SqliteSession]:
        connection: sqlite3.Connection | None = None
        self._notice_another_file()
        closings = pool.closings
        try:
            connection = pool.take() or pool.opened(self._connection(pool, within_s))
            connection.execute(f"PRAGMA busy_timeout = {max(0, int(within_s * 1000))}")
            # FULL: each commit is flushed to disk before it is answered; WAL's usual NORMAL would lose the last commits,
            # answered with 200, in a power cut.
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute(begin)
            session = SqliteSession(connection, release=release)
            yield session
            session.run("COMMIT")
        except BaseException as error:
            pool.drop(connection)  # rolls back, whatever state the connection is in
            if isinstance(error, sqlite3.Error):
                if "no such table" in str(error):  # somebody has dropped them: they are made again
                    self._start_anew()
                raise InboxUnavailable(f"SQLite: {error}") from error
            raise
        pool.put(connection, closings=closings)

    def _notice_another_file(self) -> None:
        """Close all connections where the file was deleted or replaced: what they write would be gone with the last one."""
        if self._opened is not None and _identity_of(self._path) != self._opened:
            log.error(
                "the file of the inbox, %s, was deleted or replaced: what it held is lost to this process", self._path
            )
            self._start_anew()

    def _start_anew(self) -> None:
        self._ready, self._opened = False, None
        self.close()

    def _connection(self, pool: Idle[sqlite3.Connection], within_s: float) -> sqlite3.Connection:
        self._create()
        file = _identity_of(self._path)
        kept = 0 if pool is self._handler_pool else 64
        # A connection serves one thread at a time, but not always the same one.
        connection = sqlite3.connect(
            self._path, timeout=within_s, isolation_level=None, check_same_thread=False, cached_statements=kept
        )
        try:
            self._prepare(connection, file, within_s)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self) -> None:
        """Make the file, where it is missing, readable by its owner only; SQLite reports what stands in the way."""
        with suppress(OSError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, FILE_MODE))

    def _prepare(self, connection: sqlite3.Connection, file: tuple[int, int] | None, within_s: float) -> None:
        # WAL: readers and the writer do not wait for each other.
        _retry_while_busy(connection, "PRAGMA journal_mode = WAL", within_s)
        connection.execute("SELECT count(*) FROM sqlite_master")  # opens the log, which SQLite finds by its name
        if _identity_of(self._path) != file:  # the log may be that of another file: nothing is written to it
            raise sqlite3.OperationalError("the file was replaced while it was opened")
        connection.execute("PRAGMA foreign_keys = ON")
        if not self._ready:
            connection.execute("BEGIN IMMEDIATE")
            upgrade(SqliteSession(connection), _TYPES)
            connection.execute("COMMIT")
            self._ready, self._opened = True, file


def _identity_of(path: str) -> tuple[int, int] | None:
    """Return what distinguishes a file from another one that is put in its place; None where there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _abandon(connection: sqlite3.Connection, idle: bool) -> None:  # noqa: FBT001 - a callback
    """Close a parent's connection in its child, so that SQLite forgets which locks the parent has on the file.

    In the middle of a transaction that would undo it in memory that both share.
    """
    if idle:
        connection.close()


def _retry_while_busy(connection: sqlite3.Connection, statement: str, within_s: float) -> None:
    """Execute what SQLite refuses at once, without its own waiting, while another process does the same."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
