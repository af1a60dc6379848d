"""A short campaign against real nodes and a real PostgreSQL: nothing acknowledged is lost while they are killed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMISED = ("lost", "created twice", "out of order", "phantoms", "listed and never delivered", "early retries")


@pytest.mark.slow(reason="four nodes and a PostgreSQL start, are killed several times, and come to rest")
@pytest.mark.timeout(300)
def test_a_short_campaign_loses_nothing_and_creates_nothing_twice(tmp_path: Path) -> None:
    options = ("--kills", "3", "--only", "kill", "--settle-every", "100", "--results", str(tmp_path))
    done = subprocess.run(
        (sys.executable, "-m", "reliability", *options), cwd=ROOT, capture_output=True, text=True, check=False
    )

    # How fast it recovers is judged by `make reliability`: the machine of a test may be busy with others.
    [report] = tmp_path.glob("*/report.json")
    totals = {
        what: int(count)
        for what, count in json.loads(report.read_text(encoding="utf-8"))["totals"].items()
        if count.isdigit()
    }
    assert {what: totals[what] for what in PROMISED} == dict.fromkeys(PROMISED, 0), done.stdout + done.stderr
    assert totals["events acknowledged"] == totals["events arrived at all their endpoints"] > 0
    assert totals["of them kill -9"] >= 3
