"""The commands that start a server, run as a user runs them: `serve` and `demo`."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.canned import Invoke, ended

PROGRAM = Path(sys.executable).with_name("esimhooks")

pytestmark = [
    pytest.mark.slow(reason="starts and stops a PostgreSQL server, on a machine that may be busy"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def data_dir() -> Iterator[str]:
    # Not pytest's tmp_path: PostgreSQL does not run as root, and its own user cannot pass that folder.
    with tempfile.TemporaryDirectory(prefix="esimhooks-tests-", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture
def served(data_dir: str) -> Iterator[subprocess.Popen[str]]:
    words = [str(PROGRAM), "serve", "--port", "0", "--data-dir", data_dir]
    with ended(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)) as process:
        yield process


def test_serve_says_where_it_listens_and_ends_when_asked(
    served: subprocess.Popen[str], invoke: Invoke, monkeypatch: pytest.MonkeyPatch, data_dir: str
) -> None:
    assert served.stdout is not None
    listens, folder, key = (served.stdout.readline() for _ in range(3))
    address = re.fullmatch(r"esimhooks serves (http://127\.0\.0\.1:\d+) as api, dispatcher, scheduler\n", listens)
    assert address is not None
    assert folder == f"data folder: {data_dir}\n"
    monkeypatch.setenv("ESIMHOOKS_URL", address[1])
    monkeypatch.setenv("ESIMHOOKS_API_KEY", key.removeprefix("operator's key, shown only once: ").strip())

    created = invoke("accounts", "create", "--name", "Acme")
    listed = invoke("accounts", "list")
    in_use = invoke("migrate", "--data-dir", data_dir)
    served.send_signal(signal.SIGTERM)

    assert (created.code, listed.code) == (0, 0)
    assert "Acme" in listed.out
    assert in_use.code == 1
    assert "is in use by process" in in_use.err
    assert served.wait(timeout=60) == 0
    assert served.stdout.read() == "esimhooks has stopped\n"


def test_settings_that_are_wrong_are_named_without_a_traceback(invoke: Invoke) -> None:
    done = invoke("serve", "--role", "nonsense")

    assert done.code == 1
    assert done.err == "error: --role: expected 'api', 'dispatcher' or 'scheduler'\n"


def test_a_variable_that_is_no_setting_is_named_at_the_start(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESIMHOOKS_PROT", "8500")

    done = invoke("serve", "--role", "nonsense")

    assert "ESIMHOOKS_PROT is not a setting and has no effect: did you mean ESIMHOOKS_PORT?" in done.err


def test_a_database_that_does_not_answer_is_named_by_host_and_port(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESIMHOOKS_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/real")

    done = invoke("migrate")

    assert (done.code, done.err) == (1, "error: no database answers at 127.0.0.1:1 (ConnectionRefusedError)\n")


def test_the_demo_shows_all_eight_events_arriving_once_and_leaves_nothing_behind(data_dir: str) -> None:
    # A demo must not touch the installation that the environment describes.
    environment = os.environ | {"TMPDIR": data_dir, "ESIMHOOKS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/real"}
    Path(data_dir).chmod(0o711)

    done = subprocess.run(
        [str(PROGRAM), "demo", "--for", "12s", "--esims", "7"],
        capture_output=True,
        check=False,
        env=environment,
        text=True,
        timeout=100,
    )

    assert (done.returncode, done.stderr) == (0, "")
    counts = re.findall(r"^(esim\.\w+) +(\d+) +(\d+)$", done.stdout, re.MULTILINE)
    assert len(counts) == 8
    assert all(int(raised) == int(arrived) > 0 for _, raised, arrived in counts)
    assert re.search(r"^all \d+ events arrived once, verified$", done.stdout, re.MULTILINE)
    assert "7 USED_EXPIRED" in done.stdout
    assert list(Path(data_dir).iterdir()) == []
