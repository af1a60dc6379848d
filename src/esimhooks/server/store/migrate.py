"""Bring a database up to date, and say whether it is.

In comes an address. The files of `migrations/` that the database lacks run in the order of their numbers, each in a
transaction together with its row in `schema_migrations`, under an advisory lock, so that several nodes may start at
once. All is looked up in the schema where the login creates tables: several installations may share a database.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.store.database import Connection, Session, connection

FILES = {int(path.name[:4]): path for path in sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql"))}
NEWEST = max(FILES)
LOCK = 0x6573696D686F6F6B
"""The advisory lock of whoever migrates: "esimhook" in ASCII. Releases that used Alembic take the same one."""
LOCK_TIMEOUT_S, PAUSE_S, MAX_TRIES = 1, 1.0, 60
"""Whoever needs a table that a migration waits for waits behind it, so it gives up soon and tries again."""


async def migrate(dsn: str, *, to: int = NEWEST) -> None:
    """Apply the migrations that are missing up to number `to`.

    Raises `NotNow` where the database does not answer or a table stays in use for two minutes, and `Broken` where a
    migration fails, with the name of its file and what the server said, or where the database is too new.
    """
    tries = 0
    async with _connection(dsn) as conn:
        while True:
            try:
                if not await _apply_next(conn, to):
                    return
                tries = 0
            except _InUse:
                tries += 1
                if tries == MAX_TRIES:
                    raise
                await asyncio.sleep(PAUSE_S)


async def check_current(dsn: str) -> None:
    """Raise `Broken` where the database is behind this program, or so far ahead that this program cannot use it.

    One that is ahead is usually taken: migrations keep to what the release before them can work with, so that nodes can
    be replaced one by one.
    """
    async with _connection(dsn) as conn, conn.transaction():
        if problem := _problem(await _applied_migrations(conn)):
            raise Broken(": ".join(problem))


async def state(dsn: str) -> tuple[str | None, str]:
    """Return the database's migration (None without any) and the one it should have; equal where it is ahead.

    Raises `NotNow` where the database does not answer and `Broken` where it refuses.
    """
    async with _connection(dsn) as conn, conn.transaction():
        applied = await _applied_migrations(conn)
    return _shown(applied) if _problem(applied) else f"{NEWEST:04}", f"{NEWEST:04}"


async def check_not_behind(db: Session) -> None:
    """Raise `NotNow` where the database of a running node is behind it, as after a restore of an old or empty backup."""
    if problem := _problem(await _applied_migrations(db.conn)):
        raise NotNow(problem[0])


def _problem(applied: dict[int, int]) -> tuple[str, str] | None:
    """Return what is wrong and what to do about it."""
    here = f"the database is at migration {_shown(applied) or 'none'}"
    needed = max(applied.values(), default=0)
    if needed > NEWEST:
        return f"{here}, which needs a program that knows {needed:04}; this one ends at {NEWEST:04}", "upgrade it"
    if FILES.keys() - applied:
        return f"{here}, this program needs {NEWEST:04}", "run `esimhooks migrate`"
    return None


def _shown(applied: dict[int, int]) -> str | None:
    return f"{max(applied):04}" if applied else None


async def _applied_migrations(conn: "asyncpg.Connection | Connection") -> dict[int, int]:
    """Return the migrations that the database has, each with the one that a program must know to work with it."""
    if await _has_table(conn, "schema_migrations"):
        rows = await conn.fetch("SELECT number, needs FROM schema_migrations", timeout=30)
        return {row["number"]: row["needs"] for row in rows}
    if await _has_table(conn, "alembic_version"):  # left by releases that used Alembic, whose nodes go on reading it
        newest = await conn.fetchval("SELECT max(version_num) FROM alembic_version", timeout=30)
        return dict.fromkeys(range(1, int(newest or 0) + 1), 0)
    return {}


async def _has_table(conn: "asyncpg.Connection | Connection", name: str) -> bool:
    found = "SELECT to_regclass(quote_ident(current_schema()) || '.' || $1) IS NOT NULL"
    return bool(await conn.fetchval(found, name, timeout=30))


async def _apply_next(conn: asyncpg.Connection, to: int) -> bool:
    """Apply the first migration that is missing; return whether there was one."""
    async with conn.transaction():
        await conn.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        applied = await _applied_migrations(conn)
        if max(applied.values(), default=0) > NEWEST and (problem := _problem(applied)):
            raise Broken(": ".join(problem))
        if not await _has_table(conn, "schema_migrations"):
            with _first_error("schema_migrations"):
                await _make_table(conn, applied)
        missing = sorted(number for number in FILES.keys() - applied if number <= to)
        if missing:
            with _first_error(FILES[missing[0]].name):
                await _apply(conn, missing[0])
    return bool(missing)


async def _make_table(conn: asyncpg.Connection, applied: dict[int, int]) -> None:
    await conn.execute(
        """
        CREATE TABLE schema_migrations (
            number     integer PRIMARY KEY,
            needs      integer NOT NULL,
            applied_at timestamptz -- unknown where a release with Alembic applied it
        )
        """
    )
    await conn.executemany("INSERT INTO schema_migrations (number, needs) VALUES ($1, $2)", list(applied.items()))


async def _apply(conn: asyncpg.Connection, number: int) -> None:
    """Run a file. Its first line may be `-- needs NNNN`: a program that does not know that one cannot work with it."""
    sql = FILES[number].read_text(encoding="utf-8")
    needs = int(sql.split(maxsplit=3)[2]) if sql.startswith("-- needs ") else 0
    await conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'; SET LOCAL statement_timeout = 0")
    await conn.execute(sql)
    await conn.execute("INSERT INTO schema_migrations VALUES ($1, $2, now())", number, needs)


class _InUse(NotNow):
    """Another transaction holds a table that a migration needs."""


@contextmanager
def _first_error(file: str) -> Iterator[None]:
    """Say which file failed and what the server said, before a rollback or a lost connection says something else."""
    try:
        yield
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
        raise _InUse(f"{file}: a table is in use by a long transaction ({error.args[0]})") from error
    except (asyncpg.OperatorInterventionError, asyncpg.PostgresConnectionError):
        raise
    except asyncpg.PostgresError as error:
        raise Broken(f"{file}: the database refused: {' '.join(str(error).split())}") from error


@asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    try:
        async with connection(dsn) as conn:
            yield conn
    except asyncpg.PostgresError as error:
        raise Broken(f"ESIMHOOKS_DATABASE_URL: the database refused: {error}") from error
