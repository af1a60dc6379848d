"""A merchant's view of the running node; nodes with one role each, for tests of several on one database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api import Api, a_merchant
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.store.database import Database
from system.dispatcher_processes import Dispatchers


@pytest.fixture
async def merchant(operator: Api) -> AsyncIterator[Api]:
    """The API called with the key of a merchant that has no endpoint yet."""
    made = await a_merchant(operator)
    async with operator.as_key(made.key) as api:
        yield api


@pytest.fixture
async def intake(settings: Settings) -> AsyncIterator[Api]:
    """The operator's API of a node that sends nothing itself."""
    without_dispatcher = settings.model_copy(update={"roles": frozenset({Role.API})})
    async with running(without_dispatcher) as node, Api(node.url, node.admin_key) as api:
        yield api


@pytest.fixture
async def dispatchers(settings: Settings, database: Database, tmp_path: Path) -> AsyncIterator[Dispatchers]:
    """Dispatchers to be started as processes of their own, on the database of `intake`."""
    starting = Dispatchers(settings, database, tmp_path)
    yield starting
    await starting.clear_up()
