"""Retention: the history goes by whole days, once it is old enough and nothing that waits needs it.

One round of a loop. Of what grows with every delivery nothing is deleted row by row, so a long history costs no more
than a short one; what grows with what people do (the audit log, background jobs) goes by rows.
"""

from datetime import datetime, timedelta

from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.ids import first_id_of, made_at
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import audit, jobs, partitions
from esimhooks.server.store.database import Database

EVERY_S = 3600.0
IN_USE_RETRY_S = 60.0
BATCH = 1000

log = get_logger("retention")


class Retention:
    """Drops the days that ended more than `days` ago, with the background jobs that ended before.

    Entries of the audit log go after `audit_days`.
    """

    def __init__(self, database: Database, *, days: int, audit_days: int, clock: Clock) -> None:
        self._database = database
        self._audit_retention = timedelta(days=audit_days)
        self._retention = timedelta(days=days)
        self._clock = clock

    async def drop_old_days(self) -> float:
        """Drop what is past its retention; returns the seconds until the next round.

        A delivery that is still pending, and a notification whose provider is still to be queried, keep their day and all
        later ones. A day that is still being read is tried again.
        """
        wanted = self._clock() - self._retention
        dropped, in_use = await partitions.drop_before(self._database, wanted)
        async with self._database.session() as db:
            needed = await partitions.oldest_needed(db)
            before = wanted if needed is None else min(wanted, made_at(needed))
            if dropped:
                await partitions.delete_unmatched(db, before)
        if dropped:
            log.info("history.dropped", partitions=dropped)
        if before < wanted:
            log.warning("history.kept", because="something still waits", since=before.isoformat())
        again_in_s = await self._delete_rows(wanted)
        if in_use:
            log.info("history.in_use", partitions=in_use, again_in_s=IN_USE_RETRY_S)
            return min(again_in_s, IN_USE_RETRY_S)
        return again_in_s

    async def _delete_rows(self, before: datetime) -> float:
        async with self._database.session() as db:
            gone = (
                await audit.delete_before(db, before=first_id_of(self._clock() - self._audit_retention), limit=BATCH),
                await jobs.delete_before(db, before=before, limit=BATCH),
            )
        return 0.0 if BATCH in gone else EVERY_S
