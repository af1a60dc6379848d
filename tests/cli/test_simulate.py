"""`esimhooks simulate`: whole lives through a running server, with repeats and disorder, and a report that says if all ended."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api import Api, a_merchant
from cli.canned import CannedServer, Invoke
from conftest import ADMIN_KEY
from esimhooks.cli.client import Client
from esimhooks.cli.messages import Failed
from esimhooks.cli.simulation import Plan, Simulation
from receiver import Receiver

PROGRAM = Path(sys.executable).with_name("esimhooks")


def plan(**changes: object) -> Plan:
    usual: dict[str, object] = {
        "esims": 12,
        "speed": 150_000.0,
        "duplicates": 0.3,
        "disorder": 0.3,
        "timeout_s": 20.0,
    }
    return Plan(**(usual | changes))  # type: ignore[arg-type]  # each is of its type


@pytest.mark.slow(reason="lives take seconds, on a machine that may be busy")
@pytest.mark.timeout(30)
async def test_every_esim_ends_at_the_server_as_at_the_provider(operator: Api, receiver: Receiver) -> None:
    simulation = Simulation(Client(operator.url, ADMIN_KEY), plan(webhook_url=receiver.url()))

    async with simulation.connected():
        await simulation.live()
        report = await simulation.close()

    assert report.faults() == []
    assert sum(report.esims.values()) == 12 == simulation.ended
    assert set(report.esims) <= {"USED_EXPIRED", "UNUSED_EXPIRED", "CANCEL", "REVOKED"}
    assert report.repeated > 0
    assert report.events["esim.created"] == 12
    assert sum(report.deliveries.values()) == sum(report.events.values())
    assert (await operator.get("/v1/providers"))["data"] == []


async def test_a_provider_that_is_there_is_not_touched(operator: Api) -> None:
    body = {"kind": "sandbox", "baseUrl": "http://127.0.0.1:1", "credentials": {"accessCode": "x"}}
    await operator.put("/v1/providers/simulation", body)

    with pytest.raises(Failed, match="there is a provider simulation already"):
        async with Simulation(Client(operator.url, ADMIN_KEY), plan()).connected():
            pass

    (kept,) = (await operator.get("/v1/providers"))["data"]
    assert kept["baseUrl"] == "http://127.0.0.1:1"


@pytest.mark.slow(reason="starts a process, on a machine that may be busy")
@pytest.mark.timeout(30)
async def test_the_command_prints_its_report(operator: Api) -> None:
    merchant = await a_merchant(operator)
    environment = os.environ | {"ESIMHOOKS_URL": operator.url, "ESIMHOOKS_API_KEY": ADMIN_KEY}
    words = ["simulate", "--esims", "3", "--speed", "150000", "--account", merchant.account, "--json"]

    done = await asyncio.to_thread(
        subprocess.run, [str(PROGRAM), *words], capture_output=True, check=False, env=environment, timeout=25
    )

    assert (done.returncode, done.stderr) == (0, b"")
    report = json.loads(done.stdout)
    assert (report["account"], report["astray"]) == (merchant.account, [])


@pytest.mark.slow(reason="lives take seconds, on a machine that may be busy")
@pytest.mark.timeout(60)
async def test_a_demo_against_a_running_server_checks_what_arrives_on_this_machine(operator: Api) -> None:
    environment = os.environ | {"ESIMHOOKS_API_KEY": ADMIN_KEY}
    words = ["demo", "--against", operator.url, "--speed", "40000", "--esims", "6", "--disorder", "0.2", "--json"]

    done = await asyncio.to_thread(
        subprocess.run, [str(PROGRAM), *words], capture_output=True, check=False, env=environment, timeout=50, text=True
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["arrived"] == report["events"]
    assert (report["lost"], report["unverified"], report["astray"]) == (0, 0, [])
    assert (await operator.get("/v1/providers"))["data"] == []


def test_a_key_of_a_merchant_is_refused_with_what_is_needed(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /v1/providers", {"title": "Forbidden", "detail": "this needs an operator's key"}, status=403)

    done = invoke("simulate", "--esims", "1")

    assert done.code == 1
    assert "this needs an operator's key" in done.err


@pytest.mark.parametrize("words", [["--esims", "0"], ["--duplicates", "2"], ["--timeout", "soon"]])
def test_wrong_words_are_usage(invoke: Invoke, words: list[str]) -> None:
    assert invoke("simulate", *words).code == 2
