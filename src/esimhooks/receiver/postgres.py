"""The inbox in PostgreSQL, 14 or newer, through psycopg 3; any number of processes and machines may share it.

psycopg because one driver serves threads and event loops alike, and because its connection, which transactional
handlers get, is what Django and SQLAlchemy users know. Sessions come out of it, psycopg's errors do not.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, LiteralString

from esimhooks.receiver.database import Row
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.idle import Idle
from esimhooks.receiver.schema import STATEMENTS, TABLES
from esimhooks.signing import MissingExtraError

try:
    import psycopg
except ImportError as missing:
    raise MissingExtraError(
        "an inbox in PostgreSQL needs the package psycopg: pip install 'esimhooks[inbox-postgres]'"
    ) from missing

CONNECTING_LIMIT_S = 4
_TYPES = {"seconds": "double precision", "bytes": "bytea"}
_OPTIONS: dict[str, Any] = {
    "connect_timeout": CONNECTING_LIMIT_S,
    "tcp_user_timeout": 10_000,  # milliseconds; a server that is gone without a word is noticed
    "application_name": "esimhooks-receiver",
}


class PostgresSession:
    """One connection inside a transaction."""

    def __init__(self, connection: "psycopg.Connection[Row]") -> None:
        self._connection = connection

    def rows(self, statement: str, **values: object) -> list[Row]:
        """Return all rows of a query."""
        return self._connection.execute(_named(statement), values).fetchall()

    def run(self, statement: str, **values: object) -> int:
        """Execute a statement; return how many rows it touched."""
        return self._connection.execute(_named(statement), values).rowcount

    def take_turn(self, key: str) -> None:
        """Hold an advisory lock until the end of the transaction."""
        self.run("SELECT pg_advisory_xact_lock(hashtextextended(:key, 8400))", key=f"esimhooks {key}")

    @contextmanager
    def savepoint(self) -> Iterator[Any]:
        """Yield the `psycopg.Connection`; inside the block it refuses `commit()` and `rollback()`."""
        with self._connection.transaction():
            yield self._connection


class PostgresDatabase:
    """Connections to one database. A connection that the server ended is replaced."""

    skip_locked = "FOR UPDATE OF r SKIP LOCKED"

    def __init__(self, url: str) -> None:
        try:
            self._options = {**_OPTIONS, **psycopg.conninfo.conninfo_to_dict(url)}
        except psycopg.ProgrammingError:  # its message would show the password
            raise ValueError("the address of the PostgreSQL inbox cannot be read") from None
        self._idle: Idle[psycopg.Connection[Row]] = Idle()
        self._ready = False

    @contextmanager
    def reading(self) -> Iterator[PostgresSession]:
        """Yield a session that sees one moment."""
        with self.writing() as session:
            session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield session

    @contextmanager
    def writing(self) -> Iterator[PostgresSession]:
        """Yield a session; committed at the end."""
        connection: psycopg.Connection[Row] | None = None
        closings = self._idle.closings
        try:
            connection = self._begun()
            yield PostgresSession(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection is not None:
                connection.close()  # rolls back, whatever state the connection is in
            if isinstance(error, psycopg.Error):
                raise InboxUnavailable(f"PostgreSQL: {error}") from error
            raise
        self._idle.put(connection, closings=closings)

    def close(self) -> None:
        """Close all connections, those in use when they are handed back."""
        self._idle.close()

    def _begun(self) -> "psycopg.Connection[Row]":
        """Return a connection inside a transaction; idle ones may have died."""
        while (idle := self._idle.take()) is not None:
            try:
                idle.execute("BEGIN")
            except psycopg.OperationalError:
                idle.close()
            else:
                return idle
        # Statements are not prepared by name: poolers such as PgBouncer may switch connections between transactions.
        connection = psycopg.connect(**self._options, autocommit=True, prepare_threshold=None)
        try:
            self._prepare(connection)
            connection.execute("BEGIN")
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: "psycopg.Connection[Row]") -> None:
        if self._ready:
            return
        found = [connection.execute("SELECT to_regclass(%s)", [name]).fetchone() for name in TABLES]
        if not all(row and row[0] for row in found):  # where they are, the role needs no right to make tables
            with connection.transaction():
                PostgresSession(connection).take_turn("schema")
                for statement in STATEMENTS:
                    connection.execute(statement.format(**_TYPES))
        self._ready = True


@lru_cache
def _named(statement: str) -> LiteralString:
    """Return a statement as psycopg wants it: `:id` becomes `%(id)s`."""
    return re.sub(r":(\w+)", r"%(\1)s", statement.replace("%", "%%"))
