"""The connection to PostgreSQL: a pool, sessions and transactions.

Everything else in this room takes a `Session` and runs its statements on it. Temporary errors of the driver leave this file
as `NotNow`, so that nothing outside the room needs to know the driver.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec

from esimhooks.server.domain.errors import Broken, Conflicting, NotNow
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store.encryption import Cipher

log = get_logger("store")

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

STATEMENT_TIMEOUT_S = 30.0
ACQUIRE_TIMEOUT_S = 10.0
OLDEST_VERSION = 14
SESSION_SETTINGS = {
    "application_name": "esimhooks",
    "timezone": "UTC",
    "jit": "off",
    # Tables that fill and empty within seconds have no true statistics: a plan made for an empty queue would read the
    # whole of a full one for each row. Every statement has its index.
    "enable_seqscan": "off",
    # What is read often is in memory. Were a page at random dearer than the next one, a bitmap and a sort, which read the
    # whole of a lane, would look cheaper than the index that has the lane in order.
    "seq_page_cost": "1",
    "random_page_cost": "1",
}

JSONB_VERSION = b"\x01"
"""The first byte of a jsonb on the wire."""

TEMPORARY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that the server has ended and that is about to notice
    asyncpg.InvalidCachedStatementError,  # a table was altered, as by the migration of a newer node; once for each connection
    asyncpg.CannotConnectNowError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # a database that takes no logins
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""Failures that may be gone at the next try."""

CONFLICTS = (
    asyncpg.TransactionRollbackError,
    asyncpg.IntegrityConstraintViolationError,  # a row was made, or deleted, under a statement that needed it otherwise
)
"""Failures that come of what others write at the same time."""

REFUSALS: dict[type[asyncpg.PostgresError], str] = {
    asyncpg.InvalidAuthorizationSpecificationError: "the database refuses the login of this server",
    asyncpg.InvalidCatalogNameError: "the database of this server does not exist",
    asyncpg.InsufficientPrivilegeError: "the database does not let this server read and write what it must",
    asyncpg.UndefinedTableError: "the database lacks a table that this server needs",
    asyncpg.UndefinedColumnError: "the database lacks a column that this server needs",
}
"""What the server says when the database was changed, restored or removed under a running node: a person must act, and then
all continues. It could also be a wrong statement of ours, so it is logged as an error."""
LOGGED_AGAIN_S = 60.0
MAX_LOGGED = 100


@dataclass(frozen=True, slots=True)
class Session:
    """One connection, with or without an open transaction, and the keys of the encrypted columns."""

    conn: Connection
    cipher: Cipher
    _after_commit: list[Callable[[], None]] = field(default_factory=list)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Have this called once the transaction is committed, and not at all where it is undone."""
        self._after_commit.append(call)

    def committed(self) -> None:
        """Call what was to be called after the commit; for who has committed."""
        for call in self._after_commit:
            call()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Have all statements meanwhile see one snapshot; within a transaction, what it has written as well."""
        if self.conn.is_in_transaction():
            yield
            return
        async with self.conn.transaction(isolation="repeatable_read", readonly=True):
            yield

    async def ping(self) -> None:
        """Check that the database answers, within a second."""
        await self.conn.fetchval("SELECT 1", timeout=1)


def touched(status: str) -> int:
    """Return how many rows a statement touched, from its command tag: `DELETE 3`, `INSERT 0 3`."""
    return int(status.rpartition(" ")[2])


class Database:
    """A pool of connections to one PostgreSQL database."""

    def __init__(self, pool: asyncpg.Pool, cipher: Cipher) -> None:
        self._pool = pool
        self._cipher = cipher
        self._logged_at: dict[str, float] = {}

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Lend a connection without a transaction. Raises `NotNow` where the database does not answer or refuses."""
        with self._refusals_logged(), passing_errors():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as conn:
                yield Session(conn, self._cipher)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Lend a connection with an open transaction, committed at the end. Raises `NotNow`."""
        async with self.session() as session:
            async with session.conn.transaction():
                yield session
            session.committed()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """Lend a connection whose statements all see one snapshot; for reads that belong together. Raises `NotNow`."""
        async with self.session() as session, session.snapshot():
            yield session

    @contextmanager
    def _refusals_logged(self) -> Iterator[None]:
        try:
            yield
        except tuple(REFUSALS) as error:
            self._log_refusal(error)
            said = next(text for kind, text in REFUSALS.items() if isinstance(error, kind))
            raise NotNow(f"{said} ({type(error).__name__}: {error.args[0]})") from error

    def _log_refusal(self, error: asyncpg.PostgresError) -> None:
        """Log a refusal, each at most once a minute: every loop and every request meets it."""
        now, text = monotonic(), str(error.args[0])
        if now - self._logged_at.get(text, -LOGGED_AGAIN_S) < LOGGED_AGAIN_S:
            return
        if len(self._logged_at) >= MAX_LOGGED:
            self._logged_at.clear()
        self._logged_at[text] = now
        log.error("database.refused", exc_info=error)

    async def close(self) -> None:
        """Close the pool; connections that do not close within 5 s are terminated."""
        try:
            async with asyncio.timeout(5):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def connect(dsn: str, cipher: Cipher, *, connections: int = 10) -> Database:
    """Open a pool. Raises `NotNow` where nobody answers and `Broken` for a refused login or database."""
    try:
        with passing_errors():
            pool = await asyncpg.create_pool(
                dsn,
                min_size=0,
                max_size=connections,
                init=_prepare,
                reset=_keep_as_it_is,
                command_timeout=STATEMENT_TIMEOUT_S,
                timeout=ACQUIRE_TIMEOUT_S,
                server_settings=SESSION_SETTINGS,
            )
    except asyncpg.PostgresError as error:
        raise Broken(f"ESIMHOOKS_DATABASE_URL: the database refused the connection: {error}") from error
    return Database(pool, cipher)


@asynccontextmanager
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Open one connection outside the pool that poolers accept: no prepared statements, no settings but a name.

    Raises `NotNow` where nobody answers or the block meets a temporary error, and `Broken` for a refused login or an address
    that cannot be parsed.
    """
    with passing_errors():
        conn = await _connected(dsn)
        try:
            yield conn
        except BaseException:
            conn.terminate()  # closing could fail too, and would then hide the reason
            raise
        await conn.close()


async def _connected(dsn: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(
            dsn,
            timeout=ACQUIRE_TIMEOUT_S,
            statement_cache_size=0,
            server_settings={"application_name": "esimhooks"},
        )
    except asyncpg.ClientConfigurationError as error:
        raise Broken(f"ESIMHOOKS_DATABASE_URL: {error}") from error
    except ValueError:  # its message may contain a part of the password
        raise Broken(
            "ESIMHOOKS_DATABASE_URL: expected postgresql://user:password@host:port/database, "
            "with / # ? % @ in the password written as %2F %23 %3F %25 %40"
        ) from None
    except (OSError, TimeoutError) as error:
        raise NotNow(f"no database answers at {_place(dsn)} ({type(error).__name__})", retry_after_s=2.0) from error


def _place(dsn: str) -> str:
    """Return host and port of an address, and nothing else of it."""
    parts = urlsplit(dsn)
    return f"{parts.hostname or parse_qs(parts.query).get('host', ['the local socket'])[0]}:{parts.port or 5432}"


async def _keep_as_it_is(_conn: asyncpg.Connection) -> None:
    """Sessions leave no state behind (locks end with their transaction), so releasing one costs no round trip."""


async def _prepare(conn: asyncpg.Connection) -> None:
    await conn.set_type_codec(
        "jsonb",
        encoder=lambda value: JSONB_VERSION + msgspec.json.encode(value),
        decoder=lambda value: msgspec.json.decode(value[1:]),
        schema="pg_catalog",
        format="binary",
    )


class passing_errors:  # noqa: N801 - reads as a statement
    """Turn the driver's temporary errors into `NotNow`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CONFLICTS):
            said = f"what was to be written does not fit what is stored ({type(error).__name__})"
            raise Conflicting(said, retry_after_s=1.0) from error
        if isinstance(error, TEMPORARY):
            raise NotNow(f"the database does not answer ({type(error).__name__})", retry_after_s=2.0) from error


async def check_durability(session: Session, *, refuse: bool = True) -> None:
    """Refuse a database that may lose committed data, or log a warning. Raises `Broken`."""
    if session.conn.get_server_version().major < OLDEST_VERSION:
        raise Broken(f"PostgreSQL {OLDEST_VERSION} or newer is needed")
    for setting in ("fsync", "synchronous_commit"):
        value = await session.conn.fetchval("SELECT current_setting($1)", setting)
        if value == "off":
            if refuse:
                raise Broken(f"PostgreSQL runs with {setting} = off: what is acknowledged could be lost. Turn it on.")
            log.warning("database.not_durable", setting=setting, promise="what is acknowledged may be lost")
