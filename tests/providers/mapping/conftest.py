"""A provider that documents are tried on."""

from collections.abc import AsyncIterator

import pytest

from providers.mapping.fake_provider import FakeProvider, fake_provider


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with fake_provider() as provider:
        yield provider
