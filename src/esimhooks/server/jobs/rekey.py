"""Rekeying: a run over everything that is encrypted, until nothing is encrypted with an older key any more.

Goes in small transactions beside running nodes, and may be killed at any time: the next run continues with what is left.
The older keys' canaries go last, so that a node that lacks a key which is still needed does not start.
"""

from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import installation, rekey
from esimhooks.server.store.database import Database
from esimhooks.server.store.rekey import ENCRYPTED_COLUMNS, EncryptedColumn, Key, Rekeyed

log = get_logger("rekey")

MAX_PASSES = 3
"""Nodes that still encrypt with the older key add rows behind a pass; with all of them restarted one pass finds all."""


async def rekey_all(database: Database) -> int:
    """Encrypt everything with the newest key; return how many values were encrypted again.

    Raises `NotNow` where nodes go on encrypting with an older key, and `Broken` where values cannot be decrypted: all others
    are encrypted again, and the older keys stay needed until a person has decided about these.
    """
    done = 0
    unreadable: list[str] = []
    for column in ENCRYPTED_COLUMNS:
        of_column = await _rekey(database, column)
        done += of_column.done
        unreadable += of_column.unreadable
    if unreadable:
        for name in unreadable:
            log.error("row.unreadable", row=name)
        raise Broken(
            f"values that cannot be decrypted: {len(unreadable)}, the first {unreadable[0]}; the log names all. {done} others were "
            "encrypted again. List the keys that these were encrypted with, restore or delete their rows, then run this again"
        )
    async with database.transaction() as db:
        await installation.retire_older_canaries(db)
    return done


async def _rekey(database: Database, column: EncryptedColumn) -> Rekeyed:
    done = 0
    for _ in range(MAX_PASSES):
        unreadable: list[str] = []
        after: Key | None = None
        while True:
            async with database.transaction() as db:
                some = await rekey.rekey_rows(db, column, after=after)
            done += some.done
            unreadable += some.unreadable
            after = some.after
            if after is None:
                break
        async with database.session() as db:
            if await rekey.count_left(db, column) <= len(unreadable):
                return Rekeyed(done=done, unreadable=unreadable)
    raise NotNow(
        f"{column.table} still gets rows that are encrypted with an older key: restart every node with the newest key first, "
        "then run this again"
    )
