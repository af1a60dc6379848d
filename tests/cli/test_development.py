"""`esimhooks serve --dev`: from nothing to a verified webhook with what it prints, the same at the next start."""

import asyncio
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.canned import Invoke, ended
from cli.processes import environment
from esimhooks import Webhook
from receiver import Receiver

PROGRAM = Path(sys.executable).with_name("esimhooks")


@contextmanager
def developing(folder: str, *words: str) -> Iterator[list[str]]:
    """Run it until the context ends; yield the lines that it printed until it asked to paste one."""
    command = [str(PROGRAM), "serve", "--dev", "--port", "0", "--data-dir", folder, *words]
    with ended(
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment())
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "export" not in lines[-1]:
            line = process.stdout.readline()
            assert line, lines
            lines.append(line.rstrip())
        yield lines


def found(pattern: str, lines: list[str]) -> str:
    match = re.search(pattern, "\n".join(lines))
    assert match is not None, lines
    return match[1]


@pytest.mark.slow(reason="starts and stops a PostgreSQL server twice, on a machine that may be busy")
@pytest.mark.timeout(180)
async def test_what_it_prints_is_enough_for_a_verified_webhook_and_stays_the_same(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    with tempfile.TemporaryDirectory(prefix="esimhooks-tests-", ignore_cleanup_errors=True) as folder:
        with developing(folder, "--forward", receiver.url("/hook")) as first:
            monkeypatch.setenv("ESIMHOOKS_URL", found(r"ESIMHOOKS_URL=(\S+)", first))
            monkeypatch.setenv("ESIMHOOKS_API_KEY", found(r"ESIMHOOKS_API_KEY=(\S+)", first))
            triggering = await asyncio.to_thread(invoke, "trigger", "esim.activated")
        with developing(folder, "--forward", receiver.url("/hook")) as second:
            pass

        link = found(r"signed in \(works once\): (\S+)", second)

    assert triggering.code == 0, triggering
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/portal/\S{20,}", link)
    secret = found(r"signed with: (whsec_\S+)", first)
    assert found(r"signed with: (whsec_\S+)", second) == secret
    assert found(r"sign in with: (\S+)", first) == found(r"sign in with: (\S+)", second)
    assert found(r"dashboard: (\S+)", first).endswith("/sign-in")
    assert Webhook(secret).verify(receiver.received[0].body, receiver.received[0].headers).event == "esim.activated"


def test_forward_needs_dev(invoke: Invoke) -> None:
    done = invoke("serve", "--forward", "http://127.0.0.1:3000/hook")

    assert done.code == 2
    assert "--forward needs --dev" in done.err
