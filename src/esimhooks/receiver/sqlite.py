"""The inbox in a SQLite file, with the standard library's driver; any number of threads and processes may share it.

Sessions come out of it, `sqlite3` errors do not. It must not be used on a network file system: WAL needs shared memory.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from esimhooks.receiver.database import Row
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.idle import Idle
from esimhooks.receiver.schema import STATEMENTS

PATIENCE_S = 3.0
"""How long to wait for another writer; senders give a receiver five seconds in all."""

_TYPES = {"seconds": "real", "bytes": "blob"}


class SqliteSession:
    """One connection inside a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, **values: object) -> list[Row]:
        """Return all rows of a query."""
        return self._connection.execute(statement, values).fetchall()

    def run(self, statement: str, **values: object) -> int:
        """Execute a statement; return how many rows it touched."""
        return self._connection.execute(statement, values).rowcount

    def take_turn(self, key: str) -> None:
        """There is one writer at a time as it is."""

    @contextmanager
    def savepoint(self) -> Iterator[Any]:
        """Yield the `sqlite3.Connection`; it refuses to begin, commit or roll back inside the block."""
        self.run("SAVEPOINT effect")
        self._connection.set_authorizer(_no_transactions)
        try:
            yield self._connection
        except BaseException:
            self._connection.set_authorizer(None)
            self.run("ROLLBACK TO effect")
            raise
        self._connection.set_authorizer(None)
        self.run("RELEASE effect")


class SqliteDatabase:
    """Connections to one file."""

    skip_locked = ""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: Idle[sqlite3.Connection] = Idle()
        # Within a process threads queue here, which is faster and fairer than SQLite's polling for its lock.
        self._writer = threading.Lock()
        self._ready = False

    @contextmanager
    def reading(self) -> Iterator[SqliteSession]:
        """Yield a session that sees one moment."""
        with self._transaction("BEGIN") as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[SqliteSession]:
        """Yield a session that is the only writer; committed to disk at the end."""
        if not self._writer.acquire(timeout=PATIENCE_S):
            raise InboxUnavailable("the inbox is locked by another thread")
        try:
            # IMMEDIATE takes the lock at once: a reader that becomes a writer later can be refused without waiting.
            with self._transaction("BEGIN IMMEDIATE") as session:
                yield session
        finally:
            self._writer.release()

    def close(self) -> None:
        """Close all connections, those in use when they are handed back."""
        self._idle.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[SqliteSession]:
        connection: sqlite3.Connection | None = None
        closings = self._idle.closings
        try:
            connection = self._connection()
            connection.execute(begin)
            yield SqliteSession(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection is not None:
                connection.close()  # rolls back, whatever state the connection is in
            if isinstance(error, sqlite3.Error):
                raise InboxUnavailable(f"SQLite: {error}") from error
            raise
        self._idle.put(connection, closings=closings)

    def _connection(self) -> sqlite3.Connection:
        if (idle := self._idle.take()) is not None:
            return idle
        # A connection serves one thread at a time, but not always the same one.
        connection = sqlite3.connect(self._path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # WAL: readers and the writer do not wait for each other. FULL: each commit is flushed to disk before it is
        # answered; WAL's usual NORMAL would lose the last commits, answered with 200, in a power cut.
        _patiently(connection, "PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if not self._ready:
            connection.execute("BEGIN IMMEDIATE")
            for statement in STATEMENTS:
                connection.execute(statement.format(**_TYPES))
            connection.execute("COMMIT")
            self._ready = True


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute what SQLite refuses at once, without its own waiting, while another process does the same."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _no_transactions(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK
