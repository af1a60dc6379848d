"""Exit codes, the light start, and what is said where the package was installed without its server."""

import subprocess
import sys

import pytest

from cli.canned import Invoke
from esimhooks.version import __version__
from patience import patience_s

WITHOUT_TYPER = """
import sys
sys.modules["typer"] = None
from esimhooks.cli.main import run
run(["accounts", "list"])
"""
LOADED = """
import sys
from esimhooks.cli import app
print(" ".join(sys.modules))
"""


def test_the_version_is_printed(invoke: Invoke) -> None:
    done = invoke("--version")

    assert (done.code, done.out) == (0, f"esimhooks {__version__}\n")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["accounts"],
        ["accounts", "create"],
        ["trigger", "esim.nonsense"],
        ["trigger", "esim.activated", "--set", "dataUsage=lots"],
        ["trigger", "esim.activated", "--timeout", "soon"],
        ["demo", "--for", "1s"],
        ["demo", "--for", "soon"],
        ["demo", "--esims", "0"],
        ["deliveries", "list", "--limit", "101"],
        ["endpoints", "create", "--url", "https://x", "--retry-schedule", "0,soon"],
    ],
    ids=" ".join,
)
def test_wrong_words_are_usage_and_end_with_2(invoke: Invoke, words: list[str]) -> None:
    done = invoke(*words)

    assert done.code == 2
    assert "Traceback" not in done.err


def test_without_the_extra_it_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TYPER], capture_output=True, check=False, text=True, timeout=patience_s()
    )

    assert done.returncode == 2
    assert 'pip install "esimhooks[server]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_asking_a_server_does_not_load_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, check=True, text=True, timeout=patience_s()
    )

    heavy = {"aiohttp", "asyncpg", "litestar", "pydantic_settings", "uvicorn", "uvloop"}
    assert heavy & set(done.stdout.split()) == set()
