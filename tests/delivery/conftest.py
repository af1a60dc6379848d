"""Senders that may reach this machine, and receivers to be reached."""

from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.http.gate import Gate
from receiver import Receiver


@pytest.fixture
def gate() -> Gate:
    return Gate([ip_network("127.0.0.0/8")])


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as one:
        yield one


@pytest.fixture
async def sender(gate: Gate) -> AsyncIterator[Sender]:
    one = Sender(gate)
    yield one
    await one.close()
