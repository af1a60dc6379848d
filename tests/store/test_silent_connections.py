"""A connection whose other side has gone without a word ends within seconds, whatever the kernel's own patience is.

That it does so when a cable is pulled is tried by the campaign with a standby (`make reliability-failover`); here is what
each connection asks of the kernel and of the server.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from esimhooks.server.store.database import SILENT_S, connect, connection
from esimhooks.server.store.encryption import Cipher, new_key

WITHIN_S = 10


@asynccontextmanager
async def over_tcp(address: str) -> AsyncIterator[str]:
    """Lend an address of the server on 127.0.0.1, which itself listens on a socket of the file system."""
    [folder] = parse_qs(urlsplit(address).query)["host"]

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        await asyncio.gather(pour(reader, inner_writer), pour(inner_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://esimhooks@127.0.0.1:{port}/esimhooks"


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.close()


def patience_of(sock: socket.socket) -> tuple[float, float]:
    """Return after how many seconds the kernel gives up an idle connection, and one that waits for an acknowledgement."""
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle, interval, count, unacknowledged_ms = (
        sock.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    )
    return idle + interval * count, unacknowledged_ms / 1000


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name these options differently")
async def test_the_kernel_ends_a_silent_connection_within_seconds(migrated: str) -> None:
    async with over_tcp(migrated) as address:
        database = await connect(address, Cipher([new_key()]), connections=1)
        async with database.session() as db:
            pooled = patience_of(db.conn._con._transport.get_extra_info("socket"))
        await database.close()
        async with connection(address) as conn:
            listening = patience_of(conn._transport.get_extra_info("socket"))

    assert pooled == listening
    assert max(pooled) <= SILENT_S < WITHIN_S


async def test_the_server_frees_what_a_node_that_has_gone_had_locked(migrated: str) -> None:
    database = await connect(migrated, Cipher([new_key()]), connections=1)
    async with database.session() as db:
        bound = await db.conn.fetchval("SHOW idle_in_transaction_session_timeout")
    await database.close()
    assert bound == "1min"
