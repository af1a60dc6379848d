"""The inbox in a database of Django's, so that it and the ORM share transactions. SQLite and PostgreSQL.

The alias of a database comes in, sessions inside `atomic` blocks go out; Django's errors do not. A session belongs to the
thread that opened it, as Django's connections do.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connections, transaction

from esimhooks.receiver import forks
from esimhooks.receiver.database import WAIT_S, Row, pyformat
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.schema import upgrade

_TYPES = {
    "sqlite": {"seconds": "real", "bytes": "blob"},
    "postgresql": {"seconds": "double precision", "bytes": "bytea"},
}
CANCEL_LIMIT_S = 1.0


class DjangoSession:
    """Django's connection of this thread, inside an `atomic` block."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._wrapper = connections[alias]

    def rows(self, statement: str, **values: object) -> list[Row]:
        """Return all rows of a query."""
        with self._wrapper.cursor() as cursor:
            cursor.execute(pyformat(statement), values)
            return list(cursor.fetchall())

    def run(self, statement: str, **values: object) -> int:
        """Execute a statement; return how many rows it touched."""
        with self._wrapper.cursor() as cursor:
            cursor.execute(pyformat(statement), values)
            return int(cursor.rowcount)

    def run_many(self, statement: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Execute a statement once for each of these values."""
        for values in rows:
            self.run(statement, **values)

    def take_turn(self, key: str) -> None:
        """Hold an advisory lock until the end of the transaction; SQLite has one writer at a time as it is."""
        if self._wrapper.vendor == "postgresql":
            self.rows("SELECT pg_advisory_xact_lock(hashtextextended(:key, 8400))", key=f"esimhooks {key}")

    @contextmanager
    def savepoint(self) -> Iterator[Any]:
        """Yield Django's connection; the ORM works on it in this thread, and `atomic` blocks in the block are savepoints."""
        with transaction.atomic(using=self._alias):
            yield self._wrapper

    def interrupt(self) -> None:
        """From another thread: let the statement that runs fail."""
        with suppress(Exception):
            raw = self._wrapper.connection
            raw.interrupt() if self._wrapper.vendor == "sqlite" else raw.cancel_safe(timeout=CANCEL_LIMIT_S)

    def abort(self) -> None:
        """From another thread: undo the transaction; its thread finds its connection closed."""
        raw = self._wrapper.connection
        if self._wrapper.vendor == "sqlite":
            closed = sqlite3.connect(":memory:", check_same_thread=False)
            closed.close()
            self._wrapper.connection = closed
            with suppress(sqlite3.Error):
                raw.execute("ROLLBACK")
        else:
            raw.close()


class DjangoDatabase:
    """The database of an alias. Its limits on waiting are for the inbox's transactions only."""

    def __init__(self, alias: str = "default") -> None:
        self._alias = alias
        self._vendor = connections[alias].vendor
        if self._vendor not in _TYPES:
            raise ImproperlyConfigured(f"the inbox needs SQLite or PostgreSQL, and {alias!r} is {self._vendor}")
        self.skip_locked = "FOR UPDATE OF r SKIP LOCKED" if self._vendor == "postgresql" else ""
        self._ready = False
        forks.register(before=self.close, in_child=self.close)

    @contextmanager
    def reading(self, *, within_s: float = WAIT_S) -> Iterator[DjangoSession]:
        """Yield a session that sees one snapshot."""
        with self._transaction(within_s) as session:
            yield session

    @contextmanager
    def writing(
        self, *, within_s: float = WAIT_S, durable: bool = True, handlers: bool = False
    ) -> Iterator[DjangoSession]:
        """Yield a session; committed at the end, as durably as Django's database is set up."""
        with self._transaction(within_s) as session:
            if self._vendor == "sqlite":  # a reader that becomes a writer later can be refused without waiting
                session.run("UPDATE esimhooks_schema SET version = version")
            elif not durable:
                session.run("SET LOCAL synchronous_commit = off")
            yield session

    def close(self) -> None:
        """Close the connection of this thread; Django sees to those of others."""
        wrapper = connections[self._alias]
        if not wrapper.in_atomic_block:
            wrapper.close()

    @contextmanager
    def _transaction(self, within_s: float) -> Iterator[DjangoSession]:
        refresh_connections()
        try:
            self._prepare()
            with self._waiting(within_s), transaction.atomic(using=self._alias):
                session = DjangoSession(self._alias)
                if self._vendor == "postgresql":
                    session.run(f"SET LOCAL lock_timeout = {max(1, int(within_s * 1000))}")
                yield session
        except (DatabaseError, InterfaceError) as error:
            self._ready = False  # somebody may have dropped the tables
            raise InboxUnavailable(f"{self._vendor}: {error}") from error

    @contextmanager
    def _waiting(self, within_s: float) -> Iterator[None]:
        """Let SQLite wait for a lock as long as the inbox may; Django's own limit holds again afterwards."""
        if self._vendor != "sqlite":
            yield
            return
        wrapper = connections[self._alias]
        with wrapper.cursor() as cursor:
            before = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
            cursor.execute(f"PRAGMA busy_timeout = {max(0, int(within_s * 1000))}")
        try:
            yield
        finally:
            with suppress(DatabaseError, InterfaceError), wrapper.cursor() as cursor:
                cursor.execute(f"PRAGMA busy_timeout = {before}")

    def _prepare(self) -> None:
        if not self._ready:
            with transaction.atomic(using=self._alias):
                session = DjangoSession(self._alias)
                session.take_turn("schema")
                upgrade(session, _TYPES[self._vendor])
            self._ready = True


def refresh_connections() -> None:
    """Close this thread's connections that died or are too old, as Django does around each request."""
    for wrapper in connections.all(initialized_only=True):
        if not wrapper.in_atomic_block:
            wrapper.close_if_unusable_or_obsolete()
