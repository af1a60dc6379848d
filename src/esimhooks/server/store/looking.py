"""Bounded searches: the newest rows of a table are looked at for those that fit, so that no filter makes a list slow.

Conditions come in that an index serves, and what else is wanted of the rows; rows go out, and how far it looked.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from esimhooks.server.store.database import Session
from esimhooks.server.store.given import Given


async def look(  # noqa: PLR0913
    db: Session,
    table: str,
    *,
    given: Given,
    looked_at: Sequence[str],
    wanted: Mapping[str, object],
    limit: int,
    most: int | None,
    order: str = "id DESC",
    also: str = "",
) -> tuple[Sequence[asyncpg.Record], UUID | None]:
    """Return up to `limit` rows, newest first, and the last that was looked at where there may be older ones that fit.

    The newest `most` rows that meet the conditions `looked_at`, written with the places of `given`, are looked at, None
    for all; of these the ones fit that have the `wanted` values, where None is any. `order` is newest first, in the words
    of the index that is to serve it. `also` are columns more, of the row `fitting`.
    """
    needed = len(given.values)
    newest = f"FROM {table} WHERE {' AND '.join(looked_at) or 'true'} ORDER BY {order}"
    fits = given.equal(wanted)
    rows = await db.conn.fetch(
        f"""
        SELECT fitting.*{also} FROM (SELECT * {newest} LIMIT {given(most)}) fitting
        WHERE {" AND ".join(fits) or "true"} ORDER BY {order} LIMIT {given(limit)}
        """,
        *given.values,
    )
    reached: UUID | None = None
    if most is not None and fits and len(rows) < limit:
        reached = await db.conn.fetchval(f"SELECT id {newest} OFFSET {most - 1} LIMIT 1", *given.values[:needed])
    return rows, reached
