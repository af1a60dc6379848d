"""A database that refuses logins is tried now and then, and once it takes them everybody has a connection."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
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


@dataclass
class Logins:
    """Those of a role that may not log in, until it may; the first one has failed."""

    address: str
    server: "asyncpg.Connection[asyncpg.Record]"
    first_error: Exception
    clock: Clock
    reconnecting: Reconnecting

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await self.reconnecting(self.address)

    async def allow(self) -> None:
        await self.server.execute(f"ALTER ROLE {ROLE} LOGIN")


@pytest.fixture
async def logins(migrated: str) -> AsyncIterator[Logins]:
    server = await asyncpg.connect(migrated)
    await server.execute(f"CREATE ROLE {ROLE} NOLOGIN")
    clock = Clock()
    address, reconnecting = urlsplit(migrated)._replace(netloc=f"{ROLE}@").geturl(), Reconnecting(clock)
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError) as first:
        await reconnecting(address)
    yield Logins(address, server, first.value, clock, reconnecting)
    await server.execute(f"DROP ROLE {ROLE}")
    await server.close()


async def test_after_a_failure_all_get_its_error_and_after_the_pause_all_a_connection(logins: Logins) -> None:
    await logins.allow()

    early = await asyncio.gather(*(logins.connect() for _ in range(3)), return_exceptions=True)
    logins.clock.now += PAUSE_S
    connections = await asyncio.gather(*(logins.connect() for _ in range(5)))

    assert {type(one) for one in early} == {asyncpg.InvalidAuthorizationSpecificationError}
    assert [await one.fetchval("SELECT 1") for one in connections] == [1] * 5
    for one in connections:
        await one.close()


async def test_while_one_tries_in_vain_the_others_wait_for_it(logins: Logins) -> None:
    logins.clock.now += PAUSE_S

    errors = await asyncio.gather(*(logins.connect() for _ in range(5)), return_exceptions=True)

    assert len({id(one) for one in errors}) == 1
    assert errors[0] is not logins.first_error


async def test_a_try_that_is_cancelled_leaves_its_turn_to_the_next(logins: Logins) -> None:
    await logins.allow()
    logins.clock.now += PAUSE_S

    tries = [asyncio.create_task(logins.connect()) for _ in range(3)]
    await asyncio.wait(tries, timeout=0)
    tries[0].cancel()
    outcomes = await asyncio.gather(*tries, return_exceptions=True)

    assert isinstance(outcomes[0], asyncio.CancelledError)
    for one in outcomes[1:]:
        assert isinstance(one, asyncpg.Connection)
        await one.close()
