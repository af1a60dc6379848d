"""Resealing: a run over everything that is sealed, until nothing is sealed with an older key any more.

Goes in small transactions beside running nodes, and may be killed at any moment: the next run goes on with what is left.
The older keys' canaries go last, so that a node that lacks a key which is still needed does not start.
"""

from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import installation, resealing
from esimhooks.server.store.database import Database
from esimhooks.server.store.resealing import PLACES, Key, Place, Resealed

log = get_logger("rekey")

MOST_PASSES = 3
"""Nodes that still seal with the older key add rows behind a pass; with all of them restarted one pass finds all."""


async def reseal_all(database: Database) -> int:
    """Seal everything with the newest key; return how many values were sealed anew.

    Raises `NotNow` where nodes go on sealing with an older key, and `Broken` where values cannot be decrypted: all others
    are sealed anew, and the older keys stay needed until a person has decided about these.
    """
    done = 0
    unreadable: list[str] = []
    for place in PLACES:
        of_place = await _reseal(database, place)
        done += of_place.done
        unreadable += of_place.unreadable
    if unreadable:
        for name in unreadable:
            log.error("row.unreadable", row=name)
        raise Broken(
            f"values that cannot be decrypted: {len(unreadable)}, the first {unreadable[0]}; the log names all. {done} others were "
            "sealed anew. List the keys that these were sealed with, restore or delete their rows, then run this again"
        )
    async with database.transaction() as db:
        await installation.retire_older_canaries(db)
    return done


async def _reseal(database: Database, place: Place) -> Resealed:
    done = 0
    for _ in range(MOST_PASSES):
        unreadable: list[str] = []
        after: Key | None = None
        while True:
            async with database.transaction() as db:
                some = await resealing.reseal(db, place, after=after)
            done += some.done
            unreadable += some.unreadable
            after = some.after
            if after is None:
                break
        async with database.session() as db:
            if await resealing.left(db, place) <= len(unreadable):
                return Resealed(done=done, unreadable=unreadable)
    raise NotNow(
        f"{place.table} still gets rows that are sealed with an older key: restart every node with the newest key first, "
        "then run this again"
    )
