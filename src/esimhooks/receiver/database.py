"""What the inbox needs of a database, and the one that a URL names.

In comes `sqlite:///path` or `postgresql://...`, out go sessions inside transactions. Every method blocks; code on an
event loop calls from a thread. Errors of the database come out as `InboxUnavailable`.
"""

from contextlib import AbstractContextManager
from typing import Any, Protocol

Row = tuple[Any, ...]


class Session(Protocol):
    """One connection inside a transaction. Statements name their values: `:id`."""

    def rows(self, statement: str, **values: object) -> list[Row]:
        """Return all rows of a query."""
        ...

    def run(self, statement: str, **values: object) -> int:
        """Execute a statement; return how many rows it touched."""
        ...

    def take_turn(self, key: str) -> None:
        """Wait until no other transaction that named this key is open."""
        ...

    def savepoint(self) -> AbstractContextManager[Any]:
        """Yield the driver's connection; what is done on it is undone where the block raises.

        Inside the block the transaction cannot be ended by accident: the connection refuses `commit()`.
        """
        ...


class Database(Protocol):
    """A pool of connections that are opened when they are needed, the schema included."""

    skip_locked: str
    """Ends a query whose rows this transaction takes, leaving out those that others are taking."""

    def reading(self) -> AbstractContextManager[Session]:
        """Yield a session that sees one moment. Raises `InboxUnavailable`."""
        ...

    def writing(self) -> AbstractContextManager[Session]:
        """Yield a session; at the end it is committed to disk, or rolled back where the block raises.

        Raises `InboxUnavailable`.
        """
        ...

    def close(self) -> None:
        """Close all connections, those in use when they are handed back; they are opened again when needed."""
        ...


def database_of(url: str) -> Database:
    """Return the database of a URL: `sqlite:///inbox.db`, `sqlite:////var/lib/inbox.db`, `postgresql://...`.

    Nothing is opened yet. Raises `ValueError` for other URLs and `MissingExtraError` without the PostgreSQL driver.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        from esimhooks.receiver.sqlite import SqliteDatabase  # noqa: PLC0415 - only the driver that is used

        path = rest.removeprefix("/")
        if not rest.startswith("/") or not path or path == ":memory:" or "?" in path:
            raise ValueError("expected sqlite:///relative.db or sqlite:////absolute.db: an inbox is a file")
        return SqliteDatabase(path)
    if separator and scheme in {"postgresql", "postgres"}:
        from esimhooks.receiver.postgres import PostgresDatabase  # noqa: PLC0415 - only the driver that is used

        return PostgresDatabase(url)
    raise ValueError("expected an inbox like sqlite:///inbox.db or postgresql://user@host/database")
