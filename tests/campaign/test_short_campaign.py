"""A short campaign against real nodes and a real PostgreSQL: nothing acknowledged is lost while they are killed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow(reason="four nodes and a PostgreSQL start, are killed several times, and come to rest")
@pytest.mark.timeout(300)
def test_a_short_campaign_loses_nothing_and_creates_nothing_twice(tmp_path: Path) -> None:
    options = ("--kills", "4", "--only", "kill,postgres", "--settle-every", "100", "--results", str(tmp_path))
    done = subprocess.run(
        (sys.executable, "-m", "reliability", *options), cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
