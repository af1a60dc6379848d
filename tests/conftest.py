"""What tests stand on: one embedded PostgreSQL a session, a clean database a test, a running node, real HTTP."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import asyncpg
import pytest
from hypothesis import HealthCheck, strategies
from hypothesis import settings as hypothesis_settings

import ast_in_threads
import law_time
from api import Api
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.providers.sandbox.sandbox import Sandbox, SandboxConfig
from esimhooks.server.store import migrate as migrations
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.embedded import EmbeddedPostgres
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.server.store.partitions import ensure_partitions
from receiver import Receiver
from reserved_port import ReservedPort
from upstream import Door

ADMIN_KEY = "an-operator-key-of-forty-characters-00001"
ENCRYPTION_KEY = new_key()
THROUGH_POOLER = bool(os.environ.get("TEST_THROUGH_POOLER"))
"""Whether nodes come to the database through PgBouncer, which must be installed."""
POSTGRES = os.environ.get("TEST_POSTGRES")
"""The folder of the programs of another PostgreSQL than the embedded one, such as `/usr/lib/postgresql/15/bin`."""
TENANT_TABLES = (
    "brandings",
    "accounts",
    "api_keys",
    "attempts",
    "audit_entries",
    "backlog",
    "deliveries",
    "dispatchers",
    "event_heads",
    "events",
    "fan_outs",
    "idempotent_answers",
    "notifications",
    "orders",
    "provider_doubts",
    "provider_troubles",
    "providers",
    "queue",
    "seen_notifications",
    "unmatched_notifications",
)
EMPTY = "; ".join(f"DELETE FROM {table}" for table in TENANT_TABLES)
"""In one transaction, with a key that a test has brought."""
EMPTY += "; DELETE FROM installation WHERE name LIKE 'canary%'"

EXAMPLES = {"quick": 40, "thorough": 200}
"""Of a law that does not say how many by itself. The gate tries the thorough profile: `--hypothesis-profile thorough`."""
for name, number in EXAMPLES.items():
    hypothesis_settings.register_profile(
        name,
        max_examples=number,
        deadline=None,  # the time limit of the test is enough
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
hypothesis_settings.load_profile("quick")


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C reach the programs that tests start: what a shell runs in the background ignores it, and so its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ast_in_threads.make_safe()


def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are cores: some tests wait for leases and retries, which costs no time of a core."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have each worker begin with what may take long: at the end one would be left with it."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    edges = [len(quick) * worker // workers for worker in range(workers + 1)]
    items[:] = [
        item
        for worker in range(workers)
        for item in (*slow[worker::workers], *quick[edges[worker] : edges[worker + 1]])
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell what a test waits with how long it may last."""
    own = item.get_closest_marker("timeout")
    limit = own.args[0] if own else item.config.getoption("timeout") or item.config.getini("timeout")
    os.environ["TEST_LIMIT_S"] = str(limit)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Have a law end in time."""
    with law_time.bounded(item):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell which laws were tried with fewer examples than they should be."""
    for line in law_time.summary(terminalreporter):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> None:
    for name in [name for name in os.environ if name.startswith("ESIMHOOKS_")]:
        del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def _table_of_characters() -> None:
    """Have Hypothesis make its table of all characters, where there is none yet: it would take seconds of a test's time."""
    strategies.text().validate()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL of this session's own."""
    # Not pytest's tmp_path: PostgreSQL does not run as root, and its own user cannot pass that folder.
    with tempfile.TemporaryDirectory(prefix="esimhooks-tests-") as name:
        folder = Path(name)
        if POSTGRES is None:
            embedded = EmbeddedPostgres(folder)
            yield embedded.start()
            embedded.stop()
            return
        from reliability.postgres import OwnPostgres  # noqa: PLC0415 - what few have needs none of it

        folder.chmod(0o711)  # its own user passes
        own = OwnPostgres(folder / "postgres", folder / "log", address=None, programs=Path(POSTGRES))
        with ThreadPoolExecutor(1) as thread:  # a loop of a test may run in this one
            thread.submit(asyncio.run, own.make()).result()
            yield own.url
            thread.submit(asyncio.run, own.stop(signal.SIGINT)).result()


@pytest.fixture(scope="session")
async def migrated(postgres: str) -> str:
    """The address of a database with all migrations and today's partitions."""
    await migrations.migrate(postgres)
    database = await connect(postgres, Cipher([ENCRYPTION_KEY]), connections=1)
    assert await ensure_partitions(database, now=datetime.now(UTC)) == []
    await database.close()
    return postgres


@pytest.fixture(scope="session")
def address(migrated: str) -> Iterator[str]:
    """The address by which nodes come to the database: with TEST_THROUGH_POOLER=1 that of a PgBouncer in transaction mode."""
    if not THROUGH_POOLER:
        yield migrated
        return
    from reliability.pooler import pooler, socket_folder  # noqa: PLC0415 - it needs a program that few have

    with tempfile.TemporaryDirectory(prefix="esimhooks-pooler-") as folder:
        Path(folder).chmod(0o777)  # PgBouncer does not run as root
        with pooler(Path(folder), socket_folder(migrated), sessions=20) as through:
            yield through


class Cleaner:
    """One connection that empties the tables after each test: a new one would read the catalog for each partition."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def clean(self) -> None:
        if self._connection is None or self._connection.is_closed():  # a test may end everybody's connections
            self._connection = await asyncpg.connect(self._dsn)
        await self._connection.execute(EMPTY)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


@pytest.fixture(scope="session")
async def cleaner(migrated: str) -> AsyncIterator[Cleaner]:
    cleaner = Cleaner(migrated)
    yield cleaner
    await cleaner.close()


@pytest.fixture
async def database(address: str, cleaner: Cleaner) -> AsyncIterator[Database]:
    """A pool on a database without any rows of tenants."""
    pool = await connect(address, Cipher([ENCRYPTION_KEY]), pooled=THROUGH_POOLER)
    yield pool
    await pool.close()
    await cleaner.clean()


@pytest.fixture
def settings(migrated: str, address: str, database: Database, tmp_path: Path) -> Settings:
    """Settings of a node for tests: any free port, 127.0.0.0/8 allowed, every change of usage emitted."""
    through = {"database_pooled": True, "listen_url": migrated} if THROUGH_POOLER else {}
    return Settings.read(
        **through,
        database_url=address,
        data_dir=tmp_path,
        port=0,
        admin_key=ADMIN_KEY,
        encryption_key=ENCRYPTION_KEY,
        allow_networks="127.0.0.0/8",
        usage_interval=0,
        rate_limit_key=0,  # tests ask again and again until something is so
        rate_limit_address=0,
        tries_address=0,
        log_level="warning",
        database_connections=6,  # each is a process of PostgreSQL, and most tests start a node
    )


@pytest.fixture
async def operator(settings: Settings) -> AsyncIterator[Api]:
    """The API of a running node, called with the operator's key."""
    async with running(settings) as node, Api(node.url, node.admin_key) as api:
        yield api


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A real HTTP server on 127.0.0.1 that answers 200 until it is set otherwise."""
    async with Receiver() as listening:
        yield listening


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    """A collector of OpenTelemetry, named by the standard variable, so that nodes started now send it their spans."""
    async with Receiver() as listening:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", listening.url(""))
        yield listening


@pytest.fixture
async def sandbox(receiver: Receiver) -> AsyncIterator[Sandbox]:
    """A provider that allocates when a test has it do so; its own notifications go astray."""
    config = SandboxConfig(allocation_s=(3600, 3600))
    sandbox = Sandbox(receiver.url("/astray"), config=config, rng=Random(7))
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def door(sandbox: Sandbox) -> AsyncIterator[Door]:
    """An open door before the sandbox."""
    with ReservedPort() as port:
        door = Door(sandbox.base_url, port=port.number)
        await door.open()
        yield door
        await door.close()
