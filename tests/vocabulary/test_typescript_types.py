"""The types of the TypeScript package say what the schemas say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_types_in_the_typescript_package_are_those_of_the_schemas() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "typescript_types.py", "--check"], capture_output=True, check=False, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
