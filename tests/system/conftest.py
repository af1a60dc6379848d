"""A merchant's view of the running node."""

from collections.abc import AsyncIterator

import pytest

from api import Api, a_merchant


@pytest.fixture
async def merchant(operator: Api) -> AsyncIterator[Api]:
    """The API called with the key of a merchant that has no endpoint yet."""
    made = await a_merchant(operator)
    async with operator.as_key(made.key) as api:
        yield api
