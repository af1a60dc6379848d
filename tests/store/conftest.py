"""Databases of a test's own: empty, or migrated, beside the one that the session shares."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from esimhooks.server.store import migrate as migrations
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key


@pytest.fixture
async def empty(postgres: str) -> AsyncIterator[str]:
    """The address of an empty database."""
    name = f"test_{uuid4().hex}"
    server = await asyncpg.connect(postgres)
    await server.execute(f"CREATE DATABASE {name}")
    head, _, tail = postgres.partition("?")
    yield f"{head.rpartition('/')[0]}/{name}?{tail}"
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def fresh(empty: str) -> AsyncIterator[Database]:
    """A pool on a database with all migrations and no partitions."""
    await migrations.migrate(empty)
    pool = await connect(empty, Cipher([new_key()]), connections=2)
    yield pool
    await pool.close()
