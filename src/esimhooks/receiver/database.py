"""What the inbox needs of a database, and the one that a URL names.

In comes `sqlite:///path` or `postgresql://...`, out go sessions inside transactions. Every method blocks; code on an
event loop calls from a thread. Errors of the database come out as `InboxUnavailable`.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, LiteralString, Protocol

Row = tuple[Any, ...]

WAIT_S = 4.0
"""How long a transaction may wait before it begins: for a connection and for locks. Senders give five seconds in all."""


class Session(Protocol):
    """One connection inside a transaction. Statements name their values: `:id`."""

    def rows(self, statement: str, **values: object) -> list[Row]:
        """Return all rows of a query."""
        ...

    def run(self, statement: str, **values: object) -> int:
        """Execute a statement; return how many rows it touched."""
        ...

    def run_many(self, statement: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Execute a statement once for each of these values."""
        ...

    def take_turn(self, key: str) -> None:
        """Wait until no other transaction that named this key is open."""
        ...

    def savepoint(self) -> AbstractContextManager[Any]:
        """Yield what handlers work on; what is done on it is undone where the block raises.

        Inside the block the transaction cannot be ended by accident: the connection refuses `commit()`.
        """
        ...

    def interrupt(self) -> None:
        """From another thread: let the statement that runs fail."""
        ...

    def abort(self) -> None:
        """From another thread: undo the transaction, and let nothing more be done in it."""
        ...


class Database(Protocol):
    """A pool of connections that are opened when they are needed, the schema included."""

    skip_locked: str
    """Ends a query whose rows this transaction takes, leaving out those that others are taking."""

    def reading(self, *, within_s: float = WAIT_S) -> AbstractContextManager[Session]:
        """Yield a session that sees one snapshot. Raises `InboxUnavailable`, after `within_s` at the latest."""
        ...

    def writing(
        self, *, within_s: float = WAIT_S, durable: bool = True, handlers: bool = False
    ) -> AbstractContextManager[Session]:
        """Yield a session; at the end it is committed, or rolled back where the block raises.

        With `handlers` its `savepoint` and `abort` may be used.
        Unless `durable`, a power cut may lose the commit, though never one that is durable and came later.
        Raises `InboxUnavailable`, after `within_s` at the latest where it cannot begin.
        """
        ...

    def close(self) -> None:
        """Close all connections, those in use when they are handed back; they are opened again when needed."""
        ...


@lru_cache
def pyformat(statement: str) -> LiteralString:
    """Return a statement as other drivers than sqlite3 want it: `:id` becomes `%(id)s`."""
    return re.sub(r":(\w+)", r"%(\1)s", statement.replace("%", "%%"))
