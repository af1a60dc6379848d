"""What engine tests share: a sandbox that stands for the provider behind a door, and a server that eats notifications."""

from collections.abc import AsyncIterator
from random import Random

import pytest

from engine.upstream import Door
from esimhooks.server.sandbox.sandbox import Sandbox, SandboxConfig
from receiver import Receiver


@pytest.fixture
async def sandbox(receiver: Receiver) -> AsyncIterator[Sandbox]:
    """A provider that allocates when a test tells it to; its own notifications go astray."""
    config = SandboxConfig(allocation_s=(3600, 3600))
    sandbox = Sandbox(receiver.url("/astray"), config=config, rng=Random(7))
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def door(sandbox: Sandbox) -> AsyncIterator[Door]:
    """An open door before the sandbox."""
    door = Door(sandbox.base_url)
    await door.open()
    yield door
    await door.close()
