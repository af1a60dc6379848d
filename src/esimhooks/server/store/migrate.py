"""Bring a database up to date, and tell whether it is.

Alembic keeps the order; the migrations themselves are plain SQL. An advisory lock lets several nodes start at once.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.store.database import TEMPORARY, Session, passing_errors

LOCK = 0x6573696D686F6F6B
"""The advisory lock that a migrating node holds: "esimhook" in ASCII."""


async def migrate(dsn: str, *, to: str = "head") -> None:
    """Run the migrations that are missing, up to one or all. Raises `NotNow` where the database does not answer."""

    def upgrade(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        try:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            connection.commit()
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
            connection.commit()

    await _with_connection(dsn, upgrade)


async def check_current(dsn: str) -> None:
    """Raise `Broken` where the database is behind this program.

    One that is ahead is taken: migrations keep to what the release before them can work with, so that nodes can be
    replaced one by one.
    """
    found, needed = await state(dsn)
    if found != needed:
        raise Broken(
            f"the database is at migration {found or 'none'}, this program needs {needed}: run `esimhooks migrate`"
        )


async def state(dsn: str) -> tuple[str | None, str]:
    """Return the database's migration (None without any) and the one it should have; equal where it is ahead.

    Raises `NotNow` where the database does not answer and `Broken` where it refuses.
    """
    found: list[str | None] = []

    def look(connection: Connection) -> None:
        found.append(MigrationContext.configure(connection).get_current_revision())

    await _with_connection(dsn, look)
    newest = _known()[0]
    return (found[0], newest) if _behind(found[0]) else (newest, newest)


async def check_not_behind(db: Session) -> None:
    """Raise `NotNow` where the database of a running node is behind it, as after a restore of an old or empty backup."""
    try:
        found = await db.conn.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        found = None
    if _behind(found):
        raise NotNow(f"the database is at migration {found or 'none'}, this program needs {_known()[0]}")


def _behind(revision: str | None) -> bool:
    return revision is None or revision in _known()[1:]


@cache
def _known() -> list[str]:
    """Return the revisions of this program, newest first; another is of a newer program."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def _with_connection(dsn: str, work: Callable[[Connection], None]) -> None:
    scheme, _, rest = dsn.partition("://")
    if scheme not in ("postgresql", "postgres"):
        raise Broken("ESIMHOOKS_DATABASE_URL: expected postgresql://...")
    engine = create_async_engine(f"postgresql+asyncpg://{rest}", poolclass=NullPool)
    try:
        with passing_errors():
            async with engine.connect() as connection:
                await connection.run_sync(work)
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        if isinstance(cause, TEMPORARY):
            raise NotNow(f"the database does not answer ({type(cause).__name__})") from error
        raise Broken(f"ESIMHOOKS_DATABASE_URL: the database refused: {cause or error.orig}") from error
    finally:
        await engine.dispose()
