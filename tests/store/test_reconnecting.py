"""A database that refuses logins is tried now and then, and once it takes them everybody has a connection."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from esimhooks.server.store.reconnecting import PAUSE_S, Reconnecting

ROLE = "refused_at_first"


class Clock:
    """Stands still unless it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server(migrated: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(migrated)
    await connection.execute(f"CREATE ROLE {ROLE} NOLOGIN")
    yield connection
    await connection.execute(f"DROP ROLE {ROLE}")
    await connection.close()


async def test_after_a_failure_all_get_its_error_and_after_the_pause_all_a_connection(
    migrated: str, server: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    clock = Clock()
    connect, address = Reconnecting(clock), urlsplit(migrated)._replace(netloc=f"{ROLE}@").geturl()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await connect(address)
    await server.execute(f"ALTER ROLE {ROLE} LOGIN")

    early = await asyncio.gather(*(connect(address) for _ in range(3)), return_exceptions=True)
    clock.now += PAUSE_S
    connections = await asyncio.gather(*(connect(address) for _ in range(5)))

    assert {type(one) for one in early} == {asyncpg.InvalidAuthorizationSpecificationError}
    assert [await one.fetchval("SELECT 1") for one in connections] == [1] * 5
    for one in connections:
        await one.close()


async def test_while_one_tries_in_vain_the_others_wait_for_it(
    migrated: str, server: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    clock = Clock()
    connect, address = Reconnecting(clock), urlsplit(migrated)._replace(netloc=f"{ROLE}@").geturl()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError) as first:
        await connect(address)
    clock.now += PAUSE_S

    errors = await asyncio.gather(*(connect(address) for _ in range(5)), return_exceptions=True)

    assert len({id(one) for one in errors}) == 1
    assert errors[0] is not first.value


async def test_a_try_that_is_cancelled_leaves_its_turn_to_the_next(
    migrated: str, server: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    clock = Clock()
    connect, address = Reconnecting(clock), urlsplit(migrated)._replace(netloc=f"{ROLE}@").geturl()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await connect(address)
    await server.execute(f"ALTER ROLE {ROLE} LOGIN")
    clock.now += PAUSE_S

    tries = [asyncio.create_task(connect(address)) for _ in range(3)]
    await asyncio.wait(tries, timeout=0)
    tries[0].cancel()
    outcomes = await asyncio.gather(*tries, return_exceptions=True)

    assert isinstance(outcomes[0], asyncio.CancelledError)
    for one in outcomes[1:]:
        assert isinstance(one, asyncpg.Connection)
        await one.close()
