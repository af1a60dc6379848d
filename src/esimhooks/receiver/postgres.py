"""The inbox in PostgreSQL, 14 or newer, through psycopg 3; any number of processes and machines may share it.

psycopg because one driver serves threads and event loops alike, and because its connection, which transactional
handlers get, is what Django and SQLAlchemy users know. Sessions come out of it, psycopg's errors do not.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

from esimhooks.receiver.database import WAIT_S, Row, pyformat
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.idle import Idle
from esimhooks.receiver.schema import VERSION, VERSION_TABLE, check, upgrade
from esimhooks.signing import MissingExtraError

try:
    import psycopg
    from psycopg.rows import tuple_row
except ImportError as missing:
    raise MissingExtraError(
        "an inbox in PostgreSQL needs the package psycopg: pip install 'esimhooks[inbox-postgres]'"
    ) from missing

MIN_CONNECTING_S = 2
"""What libpq makes of anything less."""

BEGIN: LiteralString = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
"""Whatever the database's defaults: those that wait for each other's rows go on with them, instead of having failed."""

CANCEL_LIMIT_S = 1.0
_TYPES = {"seconds": "double precision", "bytes": "bytea"}
_OPTIONS: dict[str, Any] = {
    # A server that is gone without a word is noticed: where something was sent to it, after these milliseconds, ...
    "tcp_user_timeout": 4_000,
    # ... and where its answer is waited for, after these seconds.
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "application_name": "esimhooks-receiver",
}


class PostgresSession:
    """One connection inside a transaction. Its cursors are its own, however a handler has set up the connection."""

    def __init__(self, connection: "psycopg.Connection[Row]") -> None:
        self._connection = connection

    def rows(self, statement: str, **values: object) -> list[Row]:
        """Return all rows of a query."""
        return psycopg.Cursor(self._connection, row_factory=tuple_row).execute(pyformat(statement), values).fetchall()

    def run(self, statement: str, **values: object) -> int:
        """Execute a statement; return how many rows it touched."""
        return psycopg.Cursor(self._connection).execute(pyformat(statement), values).rowcount

    def run_many(self, statement: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Execute a statement once for each of these values, in one round trip."""
        psycopg.Cursor(self._connection).executemany(pyformat(statement), rows)

    def take_turn(self, key: str) -> None:
        """Hold an advisory lock until the end of the transaction."""
        self.run("SELECT pg_advisory_xact_lock(hashtextextended(:key, 8400))", key=f"esimhooks {key}")

    @contextmanager
    def savepoint(self) -> Iterator[Any]:
        """Yield the `psycopg.Connection`; inside the block it refuses `commit()` and `rollback()`."""
        with self._connection.transaction():
            yield self._connection
        if self._connection.closed:
            raise psycopg.OperationalError("the connection was closed inside the transaction")

    def interrupt(self) -> None:
        """From another thread: let the statement that runs fail."""
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=CANCEL_LIMIT_S)

    def abort(self) -> None:
        """From another thread: undo the transaction; the connection is closed."""
        self._connection.close()


class PostgresDatabase:
    """Connections to one database. A connection that the server ended is replaced."""

    skip_locked = "FOR UPDATE OF r SKIP LOCKED"

    def __init__(self, url: str) -> None:
        try:
            self._options = {**_OPTIONS, **psycopg.conninfo.conninfo_to_dict(url)}
        except psycopg.ProgrammingError:  # its message would show the password
            raise ValueError("the address of the PostgreSQL inbox cannot be read") from None
        self._idle: Idle[psycopg.Connection[Row]] = Idle(_abandon)
        self._ready = False

    @contextmanager
    def reading(self, *, within_s: float = WAIT_S) -> Iterator[PostgresSession]:
        """Yield a session that sees one snapshot."""
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", within_s) as session:
            yield session

    @contextmanager
    def writing(
        self, *, within_s: float = WAIT_S, durable: bool = True, handlers: bool = False
    ) -> Iterator[PostgresSession]:
        """Yield a session; committed at the end, to disk where it is `durable`."""
        begin = BEGIN if durable else f"{BEGIN}; SET LOCAL synchronous_commit = off"
        # What a handler has set for its session is not for those who are given the connection later.
        commit = "COMMIT; RESET ALL" if handlers else "COMMIT"
        with self._transaction(begin, within_s, commit) as session:
            yield session

    def close(self) -> None:
        """Close all connections, those in use when they are handed back."""
        self._idle.close()

    @contextmanager
    def _transaction(self, begin: str, within_s: float, commit: LiteralString = "COMMIT") -> Iterator[PostgresSession]:
        connection: psycopg.Connection[Row] | None = None
        closings = self._idle.closings
        deadline = time.monotonic() + within_s
        try:
            connection = self._begin_transaction(begin, deadline)
            yield PostgresSession(connection)
            connection.execute(commit)
        except BaseException as error:
            self._idle.drop(connection)  # rolls back, whatever state the connection is in
            if isinstance(error, psycopg.errors.UndefinedTable):  # somebody has dropped them: they are made again
                self._ready = False
                self._idle.close()
            if isinstance(error, psycopg.Error):
                raise InboxUnavailable(f"PostgreSQL: {error}") from error
            raise
        self._idle.put(connection, closings=closings)

    def _begin_transaction(self, begin: str, deadline: float) -> "psycopg.Connection[Row]":
        """Return a connection inside a transaction; idle ones may have died."""
        connection = self._idle.take()
        if connection is not None:
            try:
                return _begin(connection, begin, deadline)
            except psycopg.OperationalError:
                self._idle.remove(connection)
                self._idle.close()  # what ended one has ended all
        connecting_s = max(MIN_CONNECTING_S, int(deadline - time.monotonic()))
        # Statements are not prepared by name: poolers such as PgBouncer may switch connections between transactions.
        connection = psycopg.connect(
            **{"connect_timeout": connecting_s, **self._options}, autocommit=True, prepare_threshold=None
        )
        try:
            self._prepare(connection)
            return self._idle.opened(_begin(connection, begin, deadline))
        except BaseException:
            connection.close()
            raise

    def _prepare(self, connection: "psycopg.Connection[Row]") -> None:
        if self._ready:
            return
        session = PostgresSession(connection)
        [[encoding]] = session.rows("SELECT current_setting('server_encoding')")
        if encoding != "UTF8":
            raise InboxUnavailable(
                f"the encoding of the inbox's database is {encoding}, which cannot store all characters: create one with ENCODING 'UTF8'"
            )
        version = 0
        if session.rows("SELECT 1 WHERE to_regclass(:name) IS NOT NULL", name=VERSION_TABLE):
            version = max((row[0] for row in session.rows(f"SELECT version FROM {VERSION_TABLE}")), default=0)
        check(version)
        if version != VERSION:  # where the tables are there, the role needs no right to make any
            connection.execute(BEGIN)
            session.take_turn("schema")
            upgrade(session, _TYPES)
            connection.execute("COMMIT")
        self._ready = True


def _begin(connection: "psycopg.Connection[Row]", begin: str, deadline: float) -> "psycopg.Connection[Row]":
    """Begin a transaction whose statements wait for locks no longer than to the deadline."""
    wait_ms = max(1, int((deadline - time.monotonic()) * 1000))
    connection.execute(f"{begin}; SET LOCAL lock_timeout = {wait_ms}".encode())
    return connection


def _abandon(connection: "psycopg.Connection[Row]", _idle: bool) -> None:  # noqa: FBT001 - a callback
    """Close a parent's socket here only: ending the connection would end the parent's."""
    with suppress(OSError, psycopg.Error):
        os.close(connection.fileno())
