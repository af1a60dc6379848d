"""What provider tests share: a client session, a sandbox that stands for the provider, and a fixed clock."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import Random

import pytest
from aiohttp import ClientSession, web

from esimhooks.server.providers.sandbox.sandbox import Sandbox, SandboxConfig
from providers.mapping.fake_provider import FakeProvider, fake_provider

ASKED_AT = datetime(2026, 4, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    """A provider's API that answers what a test sets."""
    async with fake_provider() as provider:
        yield provider


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox in signed mode whose notifications are all taken."""

    async def take(request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    config = SandboxConfig(allocation_s=(0, 0), access_code="code-1", secret_key="secret-1")
    sandbox = Sandbox(url, config=config, rng=Random(7), clock=lambda: ASKED_AT)
    await sandbox.start()
    yield sandbox
    await sandbox.stop()
    await runner.cleanup()
