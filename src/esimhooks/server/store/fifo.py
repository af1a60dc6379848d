"""FIFO queues, one per eSIM and endpoint, where the endpoint keeps the order: only the head is due, the rest wait behind it.

What waits has no due time, so due rows are found without scanning past it (docs/decisions/0024). A transaction that appends
locks the row in front until its commit; one that removes a row waits for that lock, then makes the next row due. So no row
waits behind nothing.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from msgspec import Struct

from esimhooks.server.store.database import Session

FIRST_DELAY = "make_interval(secs => (SELECT e.retry_schedule[1] FROM endpoints e WHERE e.id = q.endpoint_id))"
"""How long a row `q` waits before its first attempt; null where its endpoint has just been deleted."""
_ADVANCED = f"CASE WHEN q.due_at = 'infinity' THEN greatest(now(), q.started_at + {FIRST_DELAY}) ELSE q.due_at END"
"""When a row `q` is due once it is the head: at once, but not before the first delay of its schedule."""


class FifoKey(Struct, frozen=True):
    """Names a FIFO: the deliveries of one eSIM that wait for one endpoint."""

    endpoint_id: UUID
    esim_id: UUID


class FifoSlot(Struct, frozen=True):
    """The position that a delivery had in a FIFO."""

    endpoint_id: UUID
    esim_id: UUID
    position: int


async def lock_tails(db: Session, keys: Collection[FifoKey]) -> set[FifoKey]:
    """Lock the last row of each FIFO until the transaction ends; return those that have one.

    A row that another transaction has locked may be about to leave, so its FIFO is left out; this never waits.
    """
    if not keys:
        return set()
    rows = await db.conn.fetch(
        """
        SELECT q.endpoint_id, q.esim_id
        FROM unnest($1::uuid[], $2::uuid[]) AS l (endpoint_id, esim_id)
        CROSS JOIN LATERAL (
            SELECT delivery_id FROM queue o
            WHERE o.ordered AND o.endpoint_id = l.endpoint_id AND o.esim_id = l.esim_id
            ORDER BY o.position DESC LIMIT 1
        ) last
        JOIN queue q ON q.delivery_id = ANY (ARRAY[last.delivery_id]) AND q.ordered
        FOR KEY SHARE OF q SKIP LOCKED
        """,
        [key.endpoint_id for key in keys],
        [key.esim_id for key in keys],
    )
    return {FifoKey(row["endpoint_id"], row["esim_id"]) for row in rows}


async def advance(db: Session, vacated: Sequence[FifoSlot]) -> set[FifoSlot]:
    """Make due the rows behind these slots, whose deliveries have just left the queue; return the slots that had any.

    A statement of its own, after the one that removed them and may have waited: it must see rows appended meanwhile. Where
    the next row has just left too, the search is repeated from its slot.
    """
    advanced: set[FifoSlot] = set()
    while vacated:
        rows = await db.conn.fetch(
            f"""
            WITH next AS MATERIALIZED (
                SELECT p.ordinal, n.delivery_id
                FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) WITH ORDINALITY
                    AS p (endpoint_id, esim_id, position, ordinal)
                CROSS JOIN LATERAL (
                    SELECT delivery_id FROM queue o
                    WHERE o.ordered AND o.endpoint_id = p.endpoint_id AND o.esim_id = p.esim_id
                      AND o.position > p.position
                    ORDER BY o.position LIMIT 1
                ) n
            ), found AS (
                UPDATE queue q SET due_at = {_ADVANCED} FROM next n
                WHERE q.delivery_id = ANY (ARRAY[n.delivery_id]) RETURNING n.ordinal
            )
            SELECT ordinal, ordinal IN (SELECT ordinal FROM found) AS is_found FROM next
            """,
            [slot.endpoint_id for slot in vacated],
            [slot.esim_id for slot in vacated],
            [slot.position for slot in vacated],
        )
        advanced |= {vacated[row["ordinal"] - 1] for row in rows if row["is_found"]}
        vacated = [vacated[row["ordinal"] - 1] for row in rows if not row["is_found"]]
    return advanced


async def reorder(db: Session, endpoint_id: UUID, *, ordered: bool) -> None:
    """Begin or end to keep the order of what waits for the endpoint. Needs a transaction.

    All of its rows are locked first, so that whoever removes one comes either before this or after it. A retry keeps its
    due time: it must not be made earlier.
    """
    await db.conn.execute(
        "SELECT FROM queue WHERE endpoint_id = $1 AND esim_id IS NOT NULL ORDER BY delivery_id FOR UPDATE", endpoint_id
    )
    await db.conn.execute(
        f"""
        UPDATE queue q SET ordered = $2, due_at = {_ADVANCED}
        WHERE q.endpoint_id = $1 AND q.esim_id IS NOT NULL AND q.ordered <> $2
        """,
        endpoint_id,
        ordered,
    )
    if ordered:
        await db.conn.execute(
            """
            UPDATE queue q SET due_at = 'infinity'
            WHERE q.endpoint_id = $1 AND q.ordered AND q.due_at <= now() AND EXISTS (
                SELECT FROM queue o
                WHERE o.ordered AND o.endpoint_id = q.endpoint_id AND o.esim_id = q.esim_id AND o.position < q.position
            )
            """,
            endpoint_id,
        )


async def end_stale(db: Session) -> None:
    """Dissolve the FIFOs of endpoints that keep no order: made by a node that had not seen the change yet.

    Needs a transaction in which nothing is locked yet (docs/decisions/0020).
    """
    rows = await db.conn.fetch(
        """
        SELECT e.id FROM endpoints e
        WHERE e.ordering = 'none' AND EXISTS (SELECT FROM queue q WHERE q.ordered AND q.endpoint_id = e.id)
        ORDER BY e.id FOR SHARE OF e SKIP LOCKED
        """
    )
    for row in rows:
        await reorder(db, row["id"], ordered=False)
