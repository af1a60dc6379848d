"""What a notification costs through a document, beside the same one through a kind written in Python, in one run."""

import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession

from api import Api
from esimhooks.server.app.settings import Settings
from providers.mapping.documents import ICCID
from system.node_process import NodeProcess, settings_of
from upstream import a_shop

KEY = "api-key-1"
ROUNDS, EACH = 8, 50
AT_MOST = 1.3
DOCUMENT = """
name = "eSIM Go as a document"
type = "alertType"
[[verify]]
scheme = "hmac"
header = "x-signature-sha256"
encoding = "base64"
secret = "apiKey"
[[rule]]
name = "usage"
type = "Utilisation"
set.key = "iccid"
set.iccid = "iccid"
set.time = "timestamp"
set.usageTime = "timestamp"
set.plan.id = "bundle.id"
set.plan.name = "bundle.name"
set.plan.state = {const = "active"}
set.plan.total = {path = "bundle.initialQuantity", unit = "B"}
set.plan.remaining = {path = "bundle.remainingQuantity", unit = "B"}
set.plan.unlimited = "bundle.unlimited"
set.plan.activateTime = "bundle.startTime"
set.plan.expireTime = "bundle.endTime"
"""

pytestmark = [
    pytest.mark.slow(reason="counts the processor time of hundreds of notifications"),
    pytest.mark.timeout(180),
]


@pytest.fixture
async def node(settings: Settings, tmp_path: Path) -> AsyncIterator[NodeProcess]:
    process = NodeProcess(settings_of(settings), tmp_path / "node.log")
    await process.start()
    yield process
    process.clear_up()


def notification(number: int) -> bytes:
    """One of eSIM Go's callbacks: a little more is used each time."""
    at = datetime.now(UTC)
    bundle = {
        "id": "bundle-1",
        "name": "esim_1GB_7D_GB_V2",
        "initialQuantity": 10_000_000_000,
        "remainingQuantity": 10_000_000_000 - number * 1_000_000,
        "startTime": "2026-11-01T10:00:00Z",
        "endTime": (at + timedelta(days=7)).strftime("%Y-%m-%dT00:00:00Z"),
        "unlimited": False,
    }
    body = {"iccid": ICCID, "alertType": "Utilisation", "timestamp": at.isoformat(), "bundle": bundle}
    return json.dumps(body).encode()


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def test_a_notification_through_a_document_costs_little_more_than_through_python(
    node: NodeProcess, settings: Settings
) -> None:
    assert settings.admin_key is not None
    process = psutil.Process(node.running.pid)
    kinds = {"python": ("esimgo", {}), "document": ("mapping", {"document": DOCUMENT})}
    spent = dict.fromkeys(kinds, 0.0)
    async with Api(node.url, settings.admin_key.get_secret_value()) as operator, ClientSession() as session:
        addresses = {}
        for name, (kind, own) in kinds.items():
            made = await operator.put(
                f"/v1/providers/{name}", {"kind": kind, "credentials": {"apiKey": KEY}, "settings": own}
            )
            addresses[name] = made["inboundUrl"]
            shop = await a_shop(operator)
            known = {"provider": name, "transactionId": "t-1", "esimTranNo": ICCID, "iccid": ICCID}
            await shop.update(known | {"esimStatus": "IN_USE", "occurredAt": "2026-11-01T10:00:00Z"})

        async def send(name: str, number: int) -> None:
            body = notification(number)
            proof = {"x-signature-sha256": base64.b64encode(hmac.digest(KEY.encode(), body, "sha256")).decode()}
            async with session.post(addresses[name], data=body, headers=proof) as answer:
                assert (await answer.json())["outcome"] == "applied"

        for turn in range(ROUNDS + 1):
            for name in kinds:
                before = cpu_s(process)
                for number in range(turn * EACH, (turn + 1) * EACH):
                    await send(name, number)
                spent[name] += (cpu_s(process) - before) if turn else 0.0  # the first round warms up

    each_ms = {name: seconds / (ROUNDS * EACH) * 1000 for name, seconds in spent.items()}
    ratio = each_ms["document"] / each_ms["python"]
    print(
        f"\nserver CPU a notification: {each_ms['python']:.2f} ms in Python, {each_ms['document']:.2f} ms by a document, {ratio:.2f}"
    )
    assert ratio <= AT_MOST, each_ms
