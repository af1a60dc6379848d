"""Resealing: a run over everything that is sealed, until nothing is sealed with an older key any more.

Goes in small transactions beside running nodes, and may be killed at any moment: the next run goes on with what is left.
The older keys' canaries go last, so that a node that lacks a key which is still needed does not start.
"""

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.store import installation, resealing
from esimhooks.server.store.database import Database
from esimhooks.server.store.resealing import PLACES, Key, Place

MOST_PASSES = 3
"""Nodes that still seal with the older key add rows behind a pass; with all of them restarted one pass finds all."""


async def reseal_all(database: Database) -> int:
    """Seal everything with the newest key; return how many values were sealed anew.

    Raises `NotNow` where nodes go on sealing with an older key, and `Broken` for a value that no key opens.
    """
    done = 0
    for place in PLACES:
        done += await _reseal(database, place)
    async with database.transaction() as db:
        await installation.retire_older_canaries(db)
    return done


async def _reseal(database: Database, place: Place) -> int:
    done = 0
    for _ in range(MOST_PASSES):
        after: Key | None = None
        while True:
            async with database.transaction() as db:
                count, after = await resealing.reseal(db, place, after=after)
            done += count
            if after is None:
                break
        async with database.session() as db:
            if not await resealing.left(db, place):
                return done
    raise NotNow(
        f"{place.table} still gets rows that are sealed with an older key: restart every node with the newest key first, "
        "then run this again"
    )
