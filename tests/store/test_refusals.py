"""What the database refuses passes once a person has acted, and is in the log as the defect of ours that it may be."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import pytest
from structlog.testing import capture_logs

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.server.store.reconnecting import PAUSE_S

CONNECTIONS = 3


async def test_a_misspelt_table_is_logged_as_an_error_and_not_with_every_try(database: Database) -> None:
    with capture_logs() as lines:
        for statement in ("SELECT FROM ebents", "SELECT FROM ebents", "SELECT idd FROM events"):
            with pytest.raises(NotNow, match=r"the database lacks a (table|column) that this server needs"):
                async with database.session() as db:
                    await db.conn.execute(statement)

    logged = [(line["log_level"], line["event"], line["exc_info"].args[0]) for line in lines]
    assert logged == [
        ("error", "database.refused", 'relation "ebents" does not exist'),
        ("error", "database.refused", 'column "idd" does not exist'),
    ]


@dataclass
class Refusing:
    """A server that answers every login with an error, and counts them."""

    code: str
    message: str
    logins: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Lend its address."""
        async with await asyncio.start_server(self._refuse, "127.0.0.1", 0) as server:
            yield f"postgresql://esimhooks@127.0.0.1:{server.sockets[0].getsockname()[1]}/esimhooks?sslmode=disable"

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.logins += 1
        await reader.read(1000)
        fields = f"SFATAL\0C{self.code}\0M{self.message}\0\0".encode()
        writer.write(b"E" + struct.pack("!i", 4 + len(fields)) + fields)
        writer.close()


async def test_a_database_that_is_down_is_not_stormed_with_logins() -> None:
    shutting_down = Refusing("57P03", "the database system is shutting down")
    async with shutting_down.running() as address:
        pool = await connect(address, Cipher([new_key()]), connections=CONNECTIONS)
        began = monotonic()
        for _ in range(20):
            for outcome in await asyncio.gather(*(_borrowed(pool) for _ in range(10)), return_exceptions=True):
                assert isinstance(outcome, NotNow)
                assert "the database system is shutting down" in str(outcome)
        took_s = monotonic() - began
        await pool.close()

    assert shutting_down.logins <= CONNECTIONS + took_s / PAUSE_S + 1


async def _borrowed(pool: Database) -> None:
    async with pool.session():
        pass


async def test_behind_a_pooler_that_was_not_set_the_setting_is_named() -> None:
    async with Refusing("08P01", "unsupported startup parameter: jit").running() as address:
        pool = await connect(address, Cipher([new_key()]), connections=1)
        with pytest.raises(NotNow, match=r"unsupported startup parameter: jit at .*; .*ESIMHOOKS_DATABASE_POOLED=true"):
            async with pool.session():
                pass
        await pool.close()


async def test_a_statement_that_is_gone_with_its_session_names_the_setting_of_poolers(database: Database) -> None:
    with pytest.raises(NotNow, match="set ESIMHOOKS_DATABASE_POOLED=true"):
        async with database.session() as db:
            await db.conn.execute("EXECUTE prepared_in_another_session")
