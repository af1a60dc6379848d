"""How the queue stands, for metrics: a few figures over all tenants, read in one statement."""

from esimhooks.server.observe.metrics import QueueFigures
from esimhooks.server.store.database import Session
from esimhooks.server.store.lanes import FIRST_OF_EACH


async def read(db: Session) -> QueueFigures:
    """Return the figures of this moment. Lanes are found by skipping in the index, however long each is."""
    row = await db.conn.fetchrow(
        f"""
        WITH RECURSIVE waiting AS (
            {FIRST_OF_EACH}
        ), due AS (
            SELECT w.due_at, l.held_until > now() AS rests FROM waiting w JOIN lanes l USING (endpoint_id)
            WHERE w.due_at <= now() AND l.open
        )
        SELECT (SELECT count(*) FROM queue) AS pending,
               (SELECT count(*) FROM due) AS lanes_due,
               (SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8 FROM due WHERE rests IS NOT TRUE)
                   AS oldest_due_s,
               (SELECT count(*) FROM lanes WHERE open AND held_until > now()) AS lanes_resting,
               (SELECT count(*) FROM backlog) AS backlog,
               (SELECT count(*) FROM dispatchers WHERE seen_until > now()) AS dispatchers
        """
    )
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return QueueFigures(**dict(row))
