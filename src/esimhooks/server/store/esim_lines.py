"""The line of an eSIM at an endpoint that keeps its order: only the first delivery is due, the others wait behind it.

Who waits has no time of its own, so what is due is found without passing over it (docs/decisions/0024). Whoever adds to
a line holds its last one, and whoever takes one out waits for that and then moves up the next: so nobody waits behind
nothing.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from msgspec import Struct

from esimhooks.server.store.database import Session


class Line(Struct, frozen=True):
    """The deliveries of one eSIM that wait for one endpoint."""

    endpoint_id: UUID
    esim_id: UUID


class Place(Struct, frozen=True):
    """Where in the line of an eSIM a delivery stood."""

    endpoint_id: UUID
    esim_id: UUID
    position: int


async def hold_ends(db: Session, lines: Collection[Line]) -> set[Line]:
    """Return those of the lines in which somebody waits, and hold the last of each until the transaction ends.

    Held are rows of the queue, in the order of docs/decisions/0020.
    """
    if not lines:
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
        ORDER BY q.endpoint_id, q.delivery_id FOR KEY SHARE OF q
        """,
        [line.endpoint_id for line in lines],
        [line.esim_id for line in lines],
    )
    return {Line(row["endpoint_id"], row["esim_id"]) for row in rows}


async def move_up(db: Session, left: Sequence[Place]) -> None:
    """Make due whoever stands behind these places, whose deliveries have just left the queue.

    A statement of its own, after the one that took them out and may have waited: it must see who came meanwhile.
    """
    if not left:
        return
    await db.conn.execute(
        """
        WITH next AS MATERIALIZED (
            SELECT n.delivery_id
            FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS p (endpoint_id, esim_id, position)
            CROSS JOIN LATERAL (
                SELECT delivery_id FROM queue o
                WHERE o.ordered AND o.endpoint_id = p.endpoint_id AND o.esim_id = p.esim_id AND o.position > p.position
                ORDER BY o.position LIMIT 1
            ) n
        )
        UPDATE queue q SET due_at = now() FROM next n
        WHERE q.delivery_id = ANY (ARRAY[n.delivery_id]) AND q.due_at + interval '0' = 'infinity'
        """,
        [place.endpoint_id for place in left],
        [place.esim_id for place in left],
        [place.position for place in left],
    )


async def reorder(db: Session, endpoint_id: UUID, *, ordered: bool) -> None:
    """Have what waits for the endpoint stand in lines from now on, or no longer. Needs a transaction.

    All of it is held first, so that whoever takes one out, or stands behind one, comes either before this or after it.
    """
    await db.conn.execute(
        "SELECT FROM queue WHERE endpoint_id = $1 AND esim_id IS NOT NULL ORDER BY delivery_id FOR UPDATE", endpoint_id
    )
    await db.conn.execute(
        """
        UPDATE queue SET ordered = $2, due_at = CASE WHEN due_at = 'infinity' THEN now() ELSE due_at END
        WHERE endpoint_id = $1 AND esim_id IS NOT NULL AND ordered <> $2
        """,
        endpoint_id,
        ordered,
    )
    if ordered:
        await db.conn.execute(
            """
            UPDATE queue q SET due_at = 'infinity'
            WHERE q.endpoint_id = $1 AND q.ordered AND EXISTS (
                SELECT FROM queue o
                WHERE o.ordered AND o.endpoint_id = q.endpoint_id AND o.esim_id = q.esim_id AND o.position < q.position
            )
            """,
            endpoint_id,
        )
