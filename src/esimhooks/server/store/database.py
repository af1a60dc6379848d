"""The connection to PostgreSQL: a pool, sessions and transactions.

Everything else in `store` takes a `Session` and runs its statements on it. Temporary errors of the driver leave this file
as `NotNow`, so that nothing outside needs to know the driver.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from socket import gethostname
from time import monotonic
from types import SimpleNamespace
from typing import ClassVar, Literal, TypeAlias

import asyncpg
import msgspec

from esimhooks.server.domain.errors import Broken, Conflicting, NotNow
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import address
from esimhooks.server.store.encryption import Cipher
from esimhooks.server.store.reconnecting import Reconnecting
from esimhooks.version import __version__

log = get_logger("store")

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

STATEMENT_TIMEOUT_S = 30.0
ACQUIRE_TIMEOUT_S = 10.0
OLDEST_VERSION = 14
APPLICATION_NAME = f"esimhooks {__version__} {gethostname()}"[:63]
"""What the database shows of this node's connections: its version and its host, by which operators distinguish nodes."""
SESSION_SETTINGS = {
    "application_name": APPLICATION_NAME,
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

IN_TRANSACTION = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in SESSION_SETTINGS.items())
"""The same where a pooler gives each transaction another session."""
CUSTOM_PLANS = "SET LOCAL plan_cache_mode = force_custom_plan"

SILENT_S = 8
"""How long either side takes the other for alive that answers nothing, not even that bytes have come."""
BOUNDS = {
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "5",
    "tcp_user_timeout": str(SILENT_S * 1000),
    # A node that has gone leaves no locks behind: none of ours waits for anything but the database in a transaction.
    "idle_in_transaction_session_timeout": "60s",
}
"""What the server is to bound, so that it ends what a dead node has begun. Poolers know none of these."""

FIRST_OWN_OID = 10_000
"""Types below have the same number in every PostgreSQL."""

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

POOLER = "a pooler in transaction mode stands before the database: set ESIMHOOKS_DATABASE_POOLED=true"
REFUSALS: dict[type[asyncpg.PostgresError], str] = {
    asyncpg.InvalidAuthorizationSpecificationError: "the database refuses the login of this server",
    asyncpg.InvalidCatalogNameError: "the database of this server does not exist",
    asyncpg.InsufficientPrivilegeError: "the database does not let this server read and write what it must",
    asyncpg.UndefinedTableError: "the database lacks a table that this server needs",
    asyncpg.UndefinedColumnError: "the database lacks a column that this server needs",
    asyncpg.InvalidSQLStatementNameError: POOLER,  # prepared in one session, executed in another
    asyncpg.DuplicatePreparedStatementError: POOLER,
}
"""What the server says when the database was changed, restored or removed under a running node: a person must act, and then
all continues. It could also be a wrong statement in this server, so it is logged as an error."""
LOG_INTERVAL_S = 60.0
MAX_LOGGED = 100


@dataclass(slots=True)
class Session:
    """One connection, with or without an open transaction, and the keys of the encrypted columns.

    `for_pooler`: its transaction is there for the pooler alone, and what runs in it needs none.
    """

    conn: Connection
    cipher: Cipher
    for_pooler: bool = False
    _after_commit: list[Callable[[], None]] = field(default_factory=list)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Have this called once the transaction is committed, and not at all where it is undone."""
        self._after_commit.append(call)

    def run_after_commit(self) -> None:
        """Call what was registered for after the commit."""
        for call in self._after_commit:
            call()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Have all statements meanwhile see one snapshot; within a transaction, what it has written as well.

        Each is planned for the actual values: a plan for any tenant or endpoint reads all rows of the busiest ones.
        """
        if self.for_pooler:
            self.for_pooler = False  # a snapshot within goes on with this one
            await self.conn.execute(
                f"COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {IN_TRANSACTION}; {CUSTOM_PLANS}"
            )
            yield
            await self.conn.execute(f"COMMIT; BEGIN; {IN_TRANSACTION}")
            self.for_pooler = True
        elif self.conn.is_in_transaction():
            yield
        else:
            async with self.conn.transaction(isolation="repeatable_read", readonly=True):
                await self.conn.execute(CUSTOM_PLANS)
                yield


def row_count(status: str) -> int:
    """Return how many rows a statement touched, from its command tag: `DELETE 3`, `INSERT 0 3`."""
    return int(status.rpartition(" ")[2])


class Database:
    """A pool of connections to one PostgreSQL database.

    `pooled`: a pooler in transaction mode stands between, so that nothing outlasts a transaction and each session is one.
    """

    def __init__(self, pool: asyncpg.Pool, cipher: Cipher, *, location: str = "", pooled: bool = False) -> None:
        self._pool = pool
        self._cipher = cipher
        self._location = location
        self._pooled = pooled
        self._logged_at: dict[str, float] = {}

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Yield a connection without a transaction. Raises `NotNow` where the database does not answer or refuses."""
        if self._pooled:
            async with self._in_transaction() as session:
                session.for_pooler = True
                yield session
            return
        async with self._acquire() as session:
            yield session

    @property
    def max_connections(self) -> int:
        """How many connections may be open at once."""
        return int(self._pool.get_max_size())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Yield a connection with an open transaction, committed at the end. Raises `NotNow`."""
        async with self._in_transaction() as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """Yield a connection whose statements all see one snapshot; for reads that belong together. Raises `NotNow`."""
        async with self._in_transaction(isolation="repeatable_read", readonly=True) as session:
            yield session

    @asynccontextmanager
    async def _in_transaction(
        self, *, isolation: Literal["read_committed", "repeatable_read"] = "read_committed", readonly: bool = False
    ) -> AsyncIterator[Session]:
        async with self._acquire() as session:
            async with session.conn.transaction(isolation=isolation, readonly=readonly):
                if self._pooled:
                    await session.conn.execute(IN_TRANSACTION)
                yield session
            session.run_after_commit()

    @asynccontextmanager
    async def _acquire(self) -> AsyncIterator[Session]:
        with self._refusals_logged(), passing_errors(self._location):
            try:
                async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as conn:
                    yield Session(conn, self._cipher)
            except asyncpg.ReadOnlySQLTransactionError:
                await self._pool.expire_connections()  # this was the primary: look for the one that is it now
                raise

    @contextmanager
    def _refusals_logged(self) -> Iterator[None]:
        try:
            yield
        except tuple(REFUSALS) as error:
            self._log_refusal(error)
            reason = next(text for kind, text in REFUSALS.items() if isinstance(error, kind))
            raise NotNow(f"{reason} ({type(error).__name__}: {error.args[0]})") from error

    def _log_refusal(self, error: asyncpg.PostgresError) -> None:
        """Log a refusal, each at most once a minute: every loop and every request meets it."""
        now, text = monotonic(), str(error.args[0])
        if now - self._logged_at.get(text, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
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


async def connect(dsn: str, cipher: Cipher, *, connections: int = 10, pooled: bool = False) -> Database:
    """Open a pool; `pooled` through a pooler in transaction mode.

    Raises `NotNow` where no server answers and `Broken` for a refused login or database.
    """
    where = _parse(dsn)
    try:
        with passing_errors(where.location):
            pool = await asyncpg.create_pool(
                where.dsn,
                min_size=0,
                max_size=connections,
                connect=Reconnecting(),
                init=_prepare,
                connection_class=_Connection,
                reset=_keep_as_it_is,
                command_timeout=STATEMENT_TIMEOUT_S,
                timeout=where.connect_timeout_s or ACQUIRE_TIMEOUT_S,
                server_settings={"application_name": APPLICATION_NAME} if pooled else SESSION_SETTINGS | BOUNDS,
                **({"statement_cache_size": 0} if pooled else {}),
            )
    except (asyncpg.PostgresError, asyncpg.ClientConfigurationError) as error:
        raise Broken(f"ESIMHOOKS_DATABASE_URL: {where.location} refused the connection: {error}") from error
    return Database(pool, cipher, location=where.location, pooled=pooled)


@asynccontextmanager
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Open one connection outside the pool that poolers accept: no prepared statements, no settings but a name.

    Raises `NotNow` where no server answers or the block meets a temporary error, and `Broken` for a refused login or an address
    that cannot be parsed.
    """
    with passing_errors(_parse(dsn).location):
        conn = await _connect(dsn)
        try:
            yield conn
        except BaseException:
            conn.terminate()  # closing could fail too, and would then hide the reason
            raise
        await conn.close()


def _parse(dsn: str) -> address.Address:
    try:
        return address.parse(dsn)
    except Broken as error:
        raise Broken(f"ESIMHOOKS_DATABASE_URL: {error}") from None


async def _connect(dsn: str) -> asyncpg.Connection:
    where = _parse(dsn)
    try:
        conn: asyncpg.Connection = await asyncpg.connect(
            where.dsn,
            timeout=where.connect_timeout_s or ACQUIRE_TIMEOUT_S,
            statement_cache_size=0,
            server_settings={"application_name": APPLICATION_NAME},
        )
        _notice_silence(conn)
    except asyncpg.ClientConfigurationError as error:
        raise Broken(f"ESIMHOOKS_DATABASE_URL: {error}") from error
    except ValueError:  # its message may contain a part of the password
        raise Broken(f"ESIMHOOKS_DATABASE_URL: {address.EXPECTED}") from None
    except (OSError, TimeoutError, asyncpg.TargetServerAttributeNotMatched) as error:
        raise NotNow(f"no database answers at {where.location} ({type(error).__name__})", retry_after_s=2.0) from error
    except asyncpg.UndefinedObjectError as error:  # a parameter of the address that the server does not know
        raise Broken(f"ESIMHOOKS_DATABASE_URL: {where.location} said: {error}") from error
    return conn


async def _keep_as_it_is(_conn: asyncpg.Connection) -> None:
    """Sessions leave no state behind (locks end with their transaction), so releasing one costs no round trip."""


def _notice_silence(conn: asyncpg.Connection) -> None:
    """Have the kernel end a connection whose other side answers nothing: a cut cable, a proxy that forgot it."""
    transport: asyncio.Transport = conn._transport  # noqa: SLF001 - the driver has no way to its socket
    sock: socket.socket = transport.get_extra_info("socket")
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_S * 1000)


async def _prepare(conn: asyncpg.Connection) -> None:
    _notice_silence(conn)
    async with conn.transaction():  # a pooler gives it one session
        await conn.set_type_codec(
            "jsonb",
            encoder=lambda value: JSONB_VERSION + msgspec.json.encode(value),
            decoder=lambda value: msgspec.json.decode(value[1:]),
            schema="pg_catalog",
            format="binary",
        )


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # carries no types
    """Asks once a process, not once a connection, what PostgreSQL's own array types are made of.

    asyncpg looks up each array type that a connection meets, with a query that costs tens of milliseconds. The numbers
    of types below `FIRST_OWN_OID` are the same in every database; were the method gone from a later asyncpg, each
    connection would ask again.
    """

    _built_in: ClassVar[dict[frozenset[int], tuple[object, object]]] = {}

    async def _introspect_types(
        self,
        typeoids: Collection[int],
        timeout: float | None,  # noqa: ASYNC109 - as the driver calls it
    ) -> tuple[object, object]:
        types = frozenset(typeoids)
        if types not in self._built_in:
            rows, _ = await super()._introspect_types(typeoids, timeout)
            if any(oid >= FIRST_OWN_OID for oid in types):
                return rows, _UNNAMED
            self._built_in[types] = rows, _UNNAMED
        return self._built_in[types]


_UNNAMED = SimpleNamespace(name="")
"""The statement of the lookup, of which asyncpg reads the name: a statement without one was replaced by it."""


class passing_errors:  # noqa: N801 - reads as a statement
    """Turn the driver's temporary errors into `NotNow`, with what the server said and where (`location`)."""

    def __init__(self, location: str = "") -> None:
        self._location = location

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CONFLICTS):
            reason = f"what was to be written does not fit what is stored ({type(error).__name__})"
            raise Conflicting(reason, retry_after_s=1.0) from error
        if isinstance(error, TEMPORARY):
            raise NotNow(f"the database does not answer ({self._explain(error)})", retry_after_s=2.0) from error

    def _explain(self, error: BaseException) -> str:
        """Return what went wrong: in words only where the server said it, as a person may have to fix it."""
        words = f": {error.args[0]}" if isinstance(error, asyncpg.PostgresError) and error.args else ""
        advice = f"; {POOLER}" if "unsupported startup parameter" in words else ""
        return f"{type(error).__name__}{words}{f' at {self._location}' if self._location else ''}{advice}"
