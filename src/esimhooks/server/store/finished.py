"""Work in the background that has ended, recoveries and requeries: it goes once nobody asks for it any more."""

from datetime import datetime
from typing import Literal

from esimhooks.server.store.database import Session, touched


async def forget(db: Session, table: Literal["recoveries", "requeries"], *, before: datetime, limit: int) -> int:
    """Forget what ended before that moment (aware UTC); return how many rows went."""
    return touched(
        await db.conn.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE finished_at < $1 ORDER BY id LIMIT $2)",
            before,
            limit,
        )
    )
