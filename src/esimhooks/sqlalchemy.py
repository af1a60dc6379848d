"""SQLAlchemy in transactional handlers: the inbox's connection comes in, a session on it goes out.

What the session does is part of the inbox's transaction and committed with the event. It must not end that transaction:
`commit` and `rollback` of the session end a savepoint only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

_connection: ContextVar[Any] = ContextVar("connection of a transactional handler")
_engines: dict[str, Engine] = {}
_URLS = {"sqlite3": "sqlite://", "psycopg": "postgresql+psycopg://"}


@contextmanager
def session_on(connection: Any, **options: Any) -> Iterator[Session]:
    """Yield a session on the connection that a transactional handler was given.

    It is flushed at the end, and what it did is undone where the block raises. `options` are those of
    `sqlalchemy.orm.Session`. Your own engine is not needed; it may have the same database.
    """
    engine = _engine_of(connection)
    token = _connection.set(_Borrowed(connection))
    try:
        with (
            engine.connect() as bound,
            bound.begin(),
            Session(bound, join_transaction_mode="create_savepoint", **options) as session,
        ):
            yield session
            session.commit()
    finally:
        _connection.reset(token)


class _Borrowed:
    """A driver's connection whose transaction belongs to the inbox."""

    def __init__(self, connection: Any) -> None:
        object.__setattr__(self, "_connection", connection)

    def commit(self) -> None:
        """Leave it to the inbox."""

    def rollback(self) -> None:
        """Leave it to the inbox: what the session did is undone with its savepoint."""

    def close(self) -> None:
        """Leave it open."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._connection, name, value)


def _engine_of(connection: Any) -> Engine:
    driver = type(connection).__module__.partition(".")[0]
    if driver not in _URLS:
        raise TypeError(f"expected the connection of a transactional handler, not a {type(connection).__name__}")
    if driver not in _engines:
        more: dict[str, Any] = {} if driver == "sqlite3" else {"use_native_hstore": False}
        _engines[driver] = create_engine(_URLS[driver], poolclass=NullPool, creator=_connection.get, **more)
    return _engines[driver]
