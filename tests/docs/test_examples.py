"""The examples run against a real node."""

import asyncio
import sys
from pathlib import Path

import pytest

from api import Api, a_merchant
from reserved_port import ReservedPort

RECEIVER = Path(__file__).parents[2] / "examples" / "receiver.py"


@pytest.mark.slow(reason="starts a Python process")
@pytest.mark.timeout(30)
async def test_the_receiver_prints_an_event_that_verifies(operator: Api) -> None:
    with ReservedPort() as port:  # the secret is made with the address: the server has to know it before it listens
        merchant = await a_merchant(operator, webhook_url=f"http://127.0.0.1:{port.number}/hooks")
        process = await asyncio.create_subprocess_exec(
            sys.executable, RECEIVER, str(merchant.secret), str(port.number), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            await process.stdout.readline()
            async with operator.as_key(merchant.key) as key:
                await key.post("/v1/test-events", {"event": "esim.activated"})
                printed = await process.stdout.readline()
        finally:
            process.terminate()
            await process.wait()

    assert printed.startswith(b"esim.activated esim_")
