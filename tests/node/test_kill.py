"""A receiver on Node that is killed under load loses nothing; the long campaign is `make reliability-receiver`."""

import subprocess
import sys
from pathlib import Path

import pytest

from examples.example_process import ROOT
from patience import patience_s

CAMPAIGN = ROOT / "reliability" / "receiver_kills.py"


@pytest.mark.slow(reason="starts and kills processes")
@pytest.mark.parametrize("inbox", ["sqlite", "postgresql"])
@pytest.mark.timeout(180)
def test_what_was_answered_with_200_has_its_effects_though_the_receiver_is_killed(inbox: str) -> None:
    words: list[str | Path] = [sys.executable, CAMPAIGN, inbox, "--receiver", "node", "--kills", "3"]

    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=patience_s())

    assert done.returncode == 0, done.stdout + done.stderr
    assert "| kills | 3 |" in done.stdout
