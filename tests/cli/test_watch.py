"""`--watch`: what is new or changed is printed as it comes, once, until Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.canned import CannedServer, ended
from cli.conftest import KEY
from patience import patience_s

PROGRAM = Path(sys.executable).with_name("esimhooks")


def row(name: str, status: str) -> dict[str, str]:
    return {"id": name, "status": status}


@pytest.mark.slow(reason="looks twice, two seconds apart, in a process of its own")
@pytest.mark.timeout(30)
def test_only_what_is_new_or_changed_is_printed_and_ctrl_c_ends_it(server: CannedServer) -> None:
    first, second = [row("dlv_1", "pending")], [row("dlv_2", "pending"), row("dlv_1", "delivered")]
    server.answer("GET /v1/deliveries", {"data": first}, {"data": second})
    environment = os.environ | {"ESIMHOOKS_URL": server.url, "ESIMHOOKS_API_KEY": KEY}

    words = [str(PROGRAM), "deliveries", "list", "--watch", "--json"]
    with ended(
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    ) as process:
        assert process.stdout is not None
        printed = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=patience_s())

    assert [(one["id"], one["status"]) for one in printed] == [
        ("dlv_1", "pending"),
        ("dlv_1", "delivered"),
        ("dlv_2", "pending"),
    ]
    assert (process.returncode, out, err) == (0, "", "")
