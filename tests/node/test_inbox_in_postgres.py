"""The suite of the TypeScript package once more, with an inbox in PostgreSQL: the cases of tests/receiver_cases."""

import os
import subprocess

import pytest

from examples.example_process import ROOT
from patience import patience_s

PACKAGE = ROOT / "sdk" / "typescript"


@pytest.mark.slow(reason="runs a suite of Node")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("suite", ["cases", "receiver"])
def test_the_receiver_does_the_same_in_postgresql(suite: str, empty_database: str) -> None:
    words = ["node", "--test", "--test-name-pattern=^postgresql|PostgreSQL", f"tests/{suite}.test.js"]

    done = subprocess.run(
        words,
        cwd=PACKAGE,
        env=os.environ | {"TEST_POSTGRES": empty_database},
        capture_output=True,
        check=False,
        text=True,
        timeout=patience_s(),
    )

    assert done.returncode == 0, done.stdout
    assert "\n# pass 0\n" not in done.stdout
