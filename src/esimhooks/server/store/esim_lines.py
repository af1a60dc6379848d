"""The line of an eSIM at an endpoint that keeps its order: only the first delivery is due, the others wait behind it.

Who waits has no time of its own, so what is due is found without passing over it (docs/decisions/0024). Whoever stands
behind another holds that one until the commit, and whoever takes one out waits for that and then moves up the next: so
nobody waits behind nothing.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from msgspec import Struct

from esimhooks.server.store.database import Session

FIRST_DELAY = "make_interval(secs => (SELECT e.retry_schedule[1] FROM endpoints e WHERE e.id = q.endpoint_id))"
"""How long a row `q` waits before its first attempt; null where its endpoint was just deleted."""
_MOVED_UP = f"CASE WHEN q.due_at = 'infinity' THEN greatest(now(), q.started_at + {FIRST_DELAY}) ELSE q.due_at END"
"""When a row `q` is due once nobody stands before it: at once, but not before the first delay of its schedule."""


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
    """Return the lines in which somebody waits, and hold the last of each until the transaction ends.

    One that somebody else has in hand may be about to leave, so that line is not among them; nothing is waited for.
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
        FOR KEY SHARE OF q SKIP LOCKED
        """,
        [line.endpoint_id for line in lines],
        [line.esim_id for line in lines],
    )
    return {Line(row["endpoint_id"], row["esim_id"]) for row in rows}


async def move_up(db: Session, left: Sequence[Place]) -> None:
    """Make due whoever stands behind these places, whose deliveries have just left the queue.

    A statement of its own, after the one that took them out and may have waited: it must see who came meanwhile. Where
    the next one has just left too, whoever is next then is looked for anew.
    """
    while left:
        rows = await db.conn.fetch(
            f"""
            WITH next AS MATERIALIZED (
                SELECT p.place, n.delivery_id
                FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) WITH ORDINALITY
                    AS p (endpoint_id, esim_id, position, place)
                CROSS JOIN LATERAL (
                    SELECT delivery_id FROM queue o
                    WHERE o.ordered AND o.endpoint_id = p.endpoint_id AND o.esim_id = p.esim_id
                      AND o.position > p.position
                    ORDER BY o.position LIMIT 1
                ) n
            ), found AS (
                UPDATE queue q SET due_at = {_MOVED_UP} FROM next n
                WHERE q.delivery_id = ANY (ARRAY[n.delivery_id]) RETURNING n.place
            )
            SELECT place FROM next WHERE place NOT IN (SELECT place FROM found)
            """,
            [place.endpoint_id for place in left],
            [place.esim_id for place in left],
            [place.position for place in left],
        )
        left = [left[row["place"] - 1] for row in rows]


async def reorder(db: Session, endpoint_id: UUID, *, ordered: bool) -> None:
    """Have what waits for the endpoint stand in lines from now on, or no longer. Needs a transaction.

    All of it is held first, so that whoever takes one out comes either before this or after it. A retry that has its
    time keeps it: it may not be made earlier.
    """
    await db.conn.execute(
        "SELECT FROM queue WHERE endpoint_id = $1 AND esim_id IS NOT NULL ORDER BY delivery_id FOR UPDATE", endpoint_id
    )
    await db.conn.execute(
        f"""
        UPDATE queue q SET ordered = $2, due_at = {_MOVED_UP}
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


async def dissolve_stale(db: Session) -> None:
    """Dissolve the lines of endpoints that keep no order: made by who had not heard yet that it was given up.

    Needs a transaction, and that nothing is locked in it yet (docs/decisions/0020).
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
