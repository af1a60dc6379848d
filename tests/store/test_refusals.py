"""What the database refuses passes once a person has acted, and is in the log as the defect of ours that it may be."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.encryption import Cipher, new_key


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


@asynccontextmanager
async def refusing_parameters() -> AsyncIterator[str]:
    """Run what answers every login as PgBouncer does one with a parameter that it does not know; lend its address."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        fields = b"SERROR\0C08P01\0Munsupported startup parameter: jit\0\0"
        writer.write(b"E" + struct.pack("!i", 4 + len(fields)) + fields)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield f"postgresql://esimhooks@127.0.0.1:{server.sockets[0].getsockname()[1]}/esimhooks?sslmode=disable"


async def test_behind_a_pooler_that_was_not_set_the_setting_is_named() -> None:
    async with refusing_parameters() as address:
        pool = await connect(address, Cipher([new_key()]), connections=1)
        with pytest.raises(NotNow, match=r"unsupported startup parameter: jit at .*; .*ESIMHOOKS_DATABASE_POOLED=true"):
            async with pool.session():
                pass
        await pool.close()


async def test_a_statement_that_is_gone_with_its_session_names_the_setting_of_poolers(database: Database) -> None:
    with pytest.raises(NotNow, match="set ESIMHOOKS_DATABASE_POOLED=true"):
        async with database.session() as db:
            await db.conn.execute("EXECUTE prepared_in_another_session")
