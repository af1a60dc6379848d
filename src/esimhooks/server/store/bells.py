"""Bells between nodes: `NOTIFY` tells the dispatchers of all nodes that something is due. Losing one costs a poll."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from esimhooks.server.store.database import Session, connection

CHANNEL = "esimhooks_due"
ALIVE_EVERY_S = 5.0


async def ring(db: Session, *, sender: UUID) -> None:
    """Tell all nodes; `sender` lets a node know its own bell."""
    await db.conn.execute("SELECT pg_notify($1, $2)", CHANNEL, str(sender))


async def listen(dsn: str, heard: Callable[[], None], *, sender: UUID) -> None:
    """Call `heard` for every bell that another node rings, until cancelled. Raises `NotNow` when the line is lost."""
    async with connection(dsn) as conn:
        await conn.add_listener(CHANNEL, lambda *told: heard() if told[-1] != str(sender) else None)
        while True:
            await asyncio.sleep(ALIVE_EVERY_S)
            await conn.fetchval("SELECT 1", timeout=ALIVE_EVERY_S)
