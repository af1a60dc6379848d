"""Which kinds of time-driven work are due, all in one statement: a query that finds nothing is all that an idle node does.

The conditions are those of the statements that claim the work. Nothing is claimed here.
"""

from enum import StrEnum

from esimhooks.server.store import esims, jobs, orders
from esimhooks.server.store.database import Session


class Work(StrEnum):
    """Work that falls due by time, or that other processes leave."""

    EXPIRY = "expiry"
    PENDING_USAGE = "pending_usage"
    ORDER_POLLS = "order_polls"
    BACKLOG = "backlog"
    STORED = "stored"
    FAN_OUTS = "fan_outs"
    RECOVERIES = "recoveries"
    REQUERIES = "requeries"


_DUE = {
    Work.EXPIRY: f"esims WHERE {esims.IS_EXPIRED}",
    Work.PENDING_USAGE: f"esims WHERE {esims.HAS_PENDING_USAGE}",
    Work.ORDER_POLLS: f"orders WHERE {orders.IS_POLL_DUE}",
    Work.BACKLOG: "backlog WHERE due_at <= now()",
    Work.STORED: "backlog WHERE due_at = 'infinity'",
    Work.FAN_OUTS: "fan_outs",
    Work.RECOVERIES: f"jobs WHERE kind = 'recovery' AND {jobs.IS_DUE}",
    Work.REQUERIES: f"jobs WHERE kind = 'requery' AND {jobs.IS_DUE}",
}
_SQL = f"SELECT {', '.join(f'EXISTS (SELECT FROM {rows}) AS {work}' for work, rows in _DUE.items())}"


async def due_kinds(db: Session) -> set[Work]:
    """Return the kinds of work of which some is due, by the database's clock."""
    row = await db.conn.fetchrow(_SQL)
    return {work for work in Work if row is not None and row[work]}
