"""Questions about the database itself, for `esimhooks doctor`. Reads only."""

from datetime import datetime

from esimhooks.server.store.database import Session

DURABILITY = ("fsync", "synchronous_commit", "full_page_writes")


async def version(db: Session) -> tuple[int, str]:
    """Return the server's major version and how it calls its version."""
    return db.conn.get_server_version().major, await db.conn.fetchval("SELECT current_setting('server_version')")


async def durability(db: Session) -> dict[str, str]:
    """Return the settings that decide whether what was committed survives a power cut."""
    rows = await db.conn.fetch(
        "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name", list(DURABILITY)
    )
    return {row["name"]: row["value"] for row in rows}


async def clock(db: Session) -> datetime:
    """Return the present moment by the database's clock, aware UTC."""
    moment: datetime = await db.conn.fetchval("SELECT clock_timestamp()")
    return moment


async def connections(db: Session) -> tuple[int, int]:
    """Return how many connections the server has and how many it takes."""
    row = await db.conn.fetchrow(
        """
        SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
               current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most
        """
    )
    return row["used"], row["most"]
