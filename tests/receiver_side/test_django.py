"""Django's ORM in handlers: in the inbox's transaction, and alive after the database has ended its connections."""

import subprocess
import sys
from pathlib import Path

import pytest

from patience import patience_s
from receiver_side.posting import SECRET


@pytest.mark.slow(reason="starts a Django process")
@pytest.mark.timeout(180)
def test_handlers_work_on_after_each_connection_was_ended_and_effects_are_kept_once(empty_inbox: str) -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("django_process.py"), empty_inbox, SECRET],
        capture_output=True,
        check=False,
        text=True,
        timeout=patience_s(),
    )

    assert done.stdout.strip() == "(12, 6) 12 0 2", done.stdout + done.stderr
